//! Roots that appear: at their path, or because a go command uses them.

use std::{
    ffi::OsString,
    os::fd::{AsFd as _, OwnedFd},
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::Result;

use super::{
    roots::{InitialContent, ROOTS_KEPT_MAX, Root, RootTable, State},
    trouble::Trouble,
};
use crate::{
    config::{Config, limits::Thresholds},
    discover::host::Candidate,
    go::{env::FoundRoot, recognise::recognise},
    kernel::ledger_maps::LedgerMaps,
    ledger::{Ledger, root::open_directory},
    model::{printable::Shown, root_name::Names},
    process::caches_in_use::{CacheInUse, Sighting},
    sys::{file_id::file_id, shortage::is_caused_by_shortage},
};

const NOT_ITS_USERS: &str = "it is not its user's own and does not look like a cache";
const COMES_AND_GOES: &str =
    "its directory came and went too often; looked at again within a minute";
/// Before another try where the host lacked something.
const SHORTAGE_PAUSE: Duration = Duration::from_secs(1);
/// Names of refused roots that are remembered: one line of the log for the caches of a user, not one a command.
const REFUSED_MAX: usize = 100;

impl RootTable {
    /// Takes up the caches that a go command uses, unless they are watched already. How many were new.
    pub(super) fn take_found(
        &mut self,
        ledger: &mut Ledger<impl LedgerMaps>,
        sighting: &Sighting,
        caches: Vec<CacheInUse>,
        config: &Config,
    ) -> usize {
        let mut new = 0;
        for found in caches {
            let is_wanted = config.invocations.allows(&found.path) && !is_watched(ledger, &found);
            if is_wanted && self.has_room() {
                new += usize::from(self.take_one(ledger, sighting, found, config.discovered));
            }
        }
        new
    }

    /// Makes room, if there is none, by forgetting the longest known of those that cannot come back.
    pub(super) fn has_room(&mut self) -> bool {
        if self.all.len() >= ROOTS_KEPT_MAX {
            let gone = |root: &Root| root.index().is_none() && root.shown_by.is_some();
            let Some(at) = self.all.iter().position(gone) else {
                return false;
            };
            self.all.remove(at);
        }
        true
    }

    fn take_one(
        &mut self,
        ledger: &mut Ledger<impl LedgerMaps>,
        sighting: &Sighting,
        found: CacheInUse,
        thresholds: Thresholds,
    ) -> bool {
        let mut names = Names::default();
        for root in &self.all {
            names.take(&root.name);
        }
        let path = if found.is_in_view {
            found.path.clone()
        } else {
            let pid = sighting.process.tgid;
            let mut path = OsString::from(format!("/proc/{pid}/root"));
            path.push(&found.path);
            PathBuf::from(path)
        };
        // One that was there by this path but is gone, or was refused, is this one now.
        let is_it = |root: &Root| root.index().is_none() && root.path == path;
        let known = self
            .all
            .iter()
            .position(is_it)
            .map(|at| self.all.remove(at));
        let known = known.filter(|known| known.shown_by.is_none() && found.is_in_view);
        let is_known = known.is_some();
        let mut root = known.unwrap_or_else(|| {
            let candidate = Candidate {
                root: FoundRoot {
                    path,
                    kind: found.kind,
                },
                name: names.derive(&format!("{}:uid{}", found.kind, sighting.uid)),
                uid: sighting.uid,
                exists: true,
            };
            let mut root = Root::discovered(candidate, thresholds);
            root.is_found_in_use = true;
            root
        });
        root.shown_by = (!found.is_in_view).then_some(found.namespace);
        root.initial_content = match found.is_new {
            true => InitialContent::Of(sighting.process),
            // What it holds has been counted before, when it was there before.
            false if is_known => InitialContent::Base,
            false => InitialContent::Nobodys,
        };
        let taken = take_up_opened(&mut root, ledger, found.directory);
        let is_taken = matches!(taken, Ok(true));
        match taken {
            Ok(true) => {}
            Ok(false) => self.refuse_found(&root, NOT_ITS_USERS),
            Err(error) => self.refuse_found(&root, &format!("{error:#}")),
        }
        if is_taken || is_known {
            self.all.push(root);
        }
        is_taken
    }

    fn refuse_found(&mut self, root: &Root, reason: &str) {
        self.failures += 1;
        if self.refused.contains(&root.name) {
            return;
        }
        log_refusal(root, reason);
        self.refused.truncate(REFUSED_MAX - 1);
        self.refused.push_front(root.name.clone());
    }

    /// True when it is time for [`Self::take_up`], whether or not anything appeared.
    pub(super) fn is_try_due(&self, now: Instant) -> bool {
        self.next_try.is_some_and(|next| now >= next)
    }

    /// Takes up what has appeared. Returns how many roots changed their state.
    pub(super) fn take_up(&mut self, ledger: &mut Ledger<impl LedgerMaps>) -> usize {
        let now = Instant::now();
        let (mut changed, mut failures) = (0, 0);
        let mut next_try: Option<Instant> = None;
        let mut try_at = |at: Instant| next_try = Some(next_try.map_or(at, |next| next.min(at)));
        for root in self
            .all
            .iter_mut()
            .filter(|root| root.index().is_none() && root.shown_by.is_none())
        {
            if std::fs::metadata(&root.path).is_err() {
                root.state = State::Absent;
                continue;
            }
            if let Some(later) = root.returns.not_before(now) {
                failures += u64::from(refuse(root, COMES_AND_GOES));
                try_at(later);
                continue;
            }
            match take_up(root, ledger) {
                Ok(true) => changed += 1,
                Ok(false) => failures += u64::from(refuse(root, NOT_ITS_USERS)),
                Err(error) => {
                    failures += u64::from(refuse(root, &format!("{error:#}")));
                    if is_caused_by_shortage(&error) {
                        try_at(now + SHORTAGE_PAUSE);
                    }
                }
            }
        }
        self.next_try = next_try;
        self.failures += failures;
        changed
    }
}

/// True where a root is this very directory.
fn is_watched(ledger: &Ledger<impl LedgerMaps>, found: &CacheInUse) -> bool {
    let own = file_id(&found.directory);
    ledger
        .roots()
        .any(|root| root.directory().identity() == own)
}

fn take_up(root: &mut Root, ledger: &mut Ledger<impl LedgerMaps>) -> Result<bool> {
    let directory = open_directory(&root.path)?;
    take_up_opened(root, ledger, directory)
}

/// The same with its directory at hand: what was judged is what is watched.
fn take_up_opened(
    root: &mut Root,
    ledger: &mut Ledger<impl LedgerMaps>,
    directory: OwnedFd,
) -> Result<bool> {
    if !root.accepts(directory.as_fd()) {
        return Ok(false);
    }
    let comes = directory.try_clone()?;
    let index = ledger.watch_opened(&root.path, directory)?;
    root.comes(comes.as_fd());
    if !root.is_kind_given {
        root.kind = recognise(&root.path);
    }
    root.state = State::Watched(index);
    root.trouble = Trouble::default();
    root.next_walk = Instant::now();
    tracing::info!(root = root.name, path = %Shown::path(&root.path), kind = root.kind.as_str(), "watching root");
    Ok(true)
}

/// True if it was not known already.
fn refuse(root: &mut Root, reason: &str) -> bool {
    let is_new = !matches!(&root.state, State::Refused(known) if known == reason);
    if is_new {
        log_refusal(root, reason);
        root.state = State::Refused(reason.to_owned());
    }
    is_new
}

fn log_refusal(root: &Root, reason: &str) {
    tracing::warn!(root = root.name, path = %Shown::path(&root.path), reason, "cannot watch root");
}
