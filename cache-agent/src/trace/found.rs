//! Caches that the command names while it runs: taken up where that can be done, else told.

use std::{os::fd::AsFd as _, os::unix::fs::MetadataExt as _, path::Path};

use super::{
    elsewhere::{Elsewhere, Reason},
    roots::Place,
    watched::{Found, Watched, WatchedPlace},
};
use crate::{
    go::{env, recognise::recognise},
    invocation::observer::Observer,
    ledger::{Ledger, root::open_directory},
    model::root::RootKind,
    process::{
        caches_in_use::{CacheInUse, Sighting, is_born_since},
        namespaces,
    },
    sys::{clock::milliseconds, file_id::file_id},
};

/// Caches taken up while the command runs.
const FOUND_MAX: usize = 16;

/// A cache that a go command of the traced command named.
#[derive(Clone, Copy)]
struct Named<'a> {
    sighting: &'a Sighting,
    kind: RootKind,
    path: &'a Path,
    /// The directory, as the go command saw it.
    seen: Option<&'a CacheInUse>,
}

impl Watched {
    /// Takes up the caches that go commands of the command named; true if any is there.
    pub(super) fn take_found(&mut self, ledger: &mut Ledger, observer: &mut Observer) -> bool {
        let mut came = false;
        for (sighting, caches) in observer.take_found() {
            if !observer.is_in_command(&sighting.process) {
                continue;
            }
            for (kind, path) in &sighting.caches {
                let is_it = |cache: &&CacheInUse| cache.kind == *kind && cache.path == *path;
                let named = Named {
                    sighting: &sighting,
                    kind: *kind,
                    path,
                    seen: caches.iter().find(is_it),
                };
                came |= self.take_named(named, ledger, observer);
            }
        }
        came
    }

    fn take_named(
        &mut self,
        named: Named<'_>,
        ledger: &mut Ledger,
        observer: &mut Observer,
    ) -> bool {
        let Named { kind, path, .. } = named;
        if self.places.iter().any(|place| is_watched(place, named)) {
            return false;
        }
        if let Some(reason) = self.refusal(named) {
            let user = observer.cache_user(&named.sighting.process);
            let elsewhere = user.map(|user| Elsewhere {
                kind,
                path: env::clean(path),
                user,
                reason,
            });
            if let Some(elsewhere) = elsewhere {
                Elsewhere::note(&mut self.elsewhere, elsewhere);
            }
            return false;
        }
        let place = Place {
            path: env::clean(path),
            kind,
        };
        let found = Found {
            by: named.sighting.clone(),
            after: self.started.elapsed().unwrap_or_default(),
        };
        let mut place = WatchedPlace::new(place, Some(found));
        let index = place.take_up_if_there(ledger, observer);
        if let Some(index) = index {
            place.is_older = !self.is_new(ledger, index);
            self.unwalked.push(index);
        }
        self.places.push(place);
        index.is_some()
    }

    /// Nothing was in it before the command started.
    fn is_new(&self, ledger: &Ledger, index: u32) -> bool {
        let start_ms = milliseconds(self.started);
        let directory = ledger.root(index).map(|root| root.directory().open());
        let directory = directory.and_then(Result::ok);
        directory.is_some_and(|directory| is_born_since(directory.as_fd(), start_ms))
    }

    /// Why a cache is only told.
    fn refusal(&self, named: Named<'_>) -> Option<Reason> {
        let found = self.places.iter().filter(|place| place.found.is_some());
        if let Some(reason) = self.why_out_of_view(named) {
            Some(reason)
        } else if self.are_given {
            Some(Reason::Given)
        } else if found.count() >= FOUND_MAX {
            Some(Reason::TooMany)
        } else {
            (!is_likely(named)).then_some(Reason::Unlikely)
        }
    }

    /// Why the agent's view of this path may be another one's.
    fn why_out_of_view(&self, named: Named<'_>) -> Option<Reason> {
        if let Some(seen) = named.seen {
            return (!seen.is_in_view).then_some(Reason::OutOfView);
        }
        match namespaces::of(named.sighting.process.tgid) {
            Some(namespace) if Some(namespace) == namespaces::of(std::process::id()) => None,
            Some(_) => Some(Reason::OutOfView),
            // Of one that has ended nobody knows; a directory that came since is hardly another one's.
            None => {
                let start_ms = milliseconds(self.started);
                let directory = open_directory(named.path);
                let is_new =
                    directory.is_ok_and(|directory| is_born_since(directory.as_fd(), start_ms));
                (!is_new).then_some(Reason::Ended)
            }
        }
    }
}

/// The place is this directory, or this path.
fn is_watched(place: &WatchedPlace, named: Named<'_>) -> bool {
    let identity = named.seen.and_then(|seen| file_id(&seen.directory));
    let is_here = named.seen.is_none_or(|seen| seen.is_in_view);
    is_here && place.place.path == env::clean(named.path)
        || identity.is_some() && place.position(identity).is_some()
}

/// A command may name any directory, and the agent may read it: it must be the user's own or look like a cache.
fn is_likely(named: Named<'_>) -> bool {
    let Ok(found) = std::fs::metadata(named.path) else {
        return true;
    };
    found.uid() == named.sighting.uid || recognise(named.path) == named.kind
}
