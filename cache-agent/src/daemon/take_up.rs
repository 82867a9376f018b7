//! Roots that appear: at their path, or because a go command uses them.

use std::{
    os::fd::{AsFd as _, BorrowedFd, OwnedFd},
    path::PathBuf,
};

use anyhow::Result;

use super::roots::{InitialContent, ROOTS_KEPT_MAX, Root, RootTable, State};
use crate::{
    config::{Config, limits::Thresholds},
    discover::host::Candidate,
    go::{env::FoundRoot, recognise::recognise},
    kernel::ledger_maps::LedgerMaps,
    ledger::{Ledger, root::open_directory},
    model::root_name::Names,
    process::caches_in_use::{CacheInUse, Sighting},
};

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
            PathBuf::from(format!("/proc/{pid}/root{}", found.path.display()))
        };
        let candidate = Candidate {
            root: FoundRoot {
                path,
                kind: found.kind,
            },
            name: names.derive(&format!("{}:uid{}", found.kind, sighting.uid)),
            uid: sighting.uid,
            exists: true,
        };
        // One that was there by this path but is gone, or was refused, is this one now.
        self.all
            .retain(|root| root.index().is_some() || root.path != candidate.root.path);
        let mut root = Root::discovered(candidate, thresholds);
        root.is_found_in_use = true;
        root.shown_by = (!found.is_in_view).then_some(found.namespace);
        root.initial_content = if found.is_new {
            InitialContent::Of(sighting.process)
        } else {
            InitialContent::Nobodys
        };
        match take_up_opened(&mut root, ledger, found.directory) {
            Ok(true) => {
                self.all.push(root);
                true
            }
            Ok(false) => false,
            Err(error) => {
                refuse(&mut root, &format!("{error:#}"));
                false
            }
        }
    }

    /// Takes up what has appeared. Returns how many roots changed their state.
    pub(super) fn take_up(&mut self, ledger: &mut Ledger<impl LedgerMaps>) -> usize {
        let mut changed = 0;
        for root in self
            .all
            .iter_mut()
            .filter(|root| root.index().is_none() && root.shown_by.is_none())
        {
            if std::fs::metadata(&root.path).is_err() {
                root.state = State::Absent;
                continue;
            }
            match take_up(root, ledger) {
                Ok(true) => changed += 1,
                Ok(false) => {}
                Err(error) => refuse(root, &format!("{error:#}")),
            }
        }
        changed
    }
}

/// True where a root is this very directory.
fn is_watched(ledger: &Ledger<impl LedgerMaps>, found: &CacheInUse) -> bool {
    let identity = |fd: BorrowedFd<'_>| {
        let stat = rustix::fs::fstat(fd).ok()?;
        Some((stat.st_dev, stat.st_ino))
    };
    let own = identity(found.directory.as_fd());
    ledger
        .roots()
        .any(|root| identity(root.directory().as_fd()) == own)
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
        refuse(
            root,
            "it is not its user's own and does not look like a cache",
        );
        return Ok(false);
    }
    let index = ledger.watch_opened(&root.path, directory)?;
    if !root.is_kind_given {
        root.kind = recognise(&root.path);
    }
    root.state = State::Watched(index);
    tracing::info!(root = root.name, path = %root.path.display(), kind = root.kind.as_str(), "watching root");
    Ok(true)
}

fn refuse(root: &mut Root, reason: &str) {
    if !matches!(&root.state, State::Refused(known) if known == reason) {
        tracing::warn!(root = root.name, path = %root.path.display(), reason, "cannot watch root");
        root.state = State::Refused(reason.to_owned());
    }
}
