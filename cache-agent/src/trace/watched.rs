//! The roots of a trace by their paths: the command may remove a directory, move it away, or make it anew.

use std::{
    os::{fd::AsFd as _, unix::fs::MetadataExt as _},
    sync::Arc,
    time::{Duration, SystemTime},
};

use anyhow::{Context as _, Result};

use super::{
    elsewhere::Elsewhere,
    events::EventLines,
    report::json::{Directory, RootRow},
    roots::{Place, Places},
};
use crate::{
    invocation::observer::Observer,
    kernel::file_events::Fact,
    ledger::{
        Ledger, Reconciled, Reconciliation, Unsure,
        accounts::Accounts,
        root::{Ambiguous, WatchedRoot},
    },
    model::printable::printable,
    process::caches_in_use::Sighting,
    sys::file_id::FileId,
};

/// Directories taken up at one path while the command runs; one more at its end.
const DIRECTORIES_MAX: usize = 16;

/// One path, and the directories that were there.
#[derive(Debug)]
pub(super) struct WatchedPlace {
    pub(super) place: Place,
    /// What was there at the last look.
    seen: Option<FileId>,
    directories: Vec<(FileId, RootRow)>,
    /// Why what is there cannot be watched.
    trouble: Option<String>,
    /// How it came to be watched, if the command's own environment does not name it.
    pub(super) found: Option<Found>,
    /// It was there before the command, and what changed in it before it was found is not known.
    pub(super) is_older: bool,
}

/// A cache that a go command named while the command ran.
#[derive(Debug)]
pub(super) struct Found {
    /// Who named it.
    pub(super) by: Sighting,
    /// Since the command's start.
    pub(super) after: Duration,
}

/// All roots of a trace.
#[derive(Debug)]
pub struct Watched {
    pub(super) places: Vec<WatchedPlace>,
    /// The user said what to watch: nothing else is.
    pub(super) are_given: bool,
    pub(super) started: SystemTime,
    pub(super) elsewhere: Vec<Elsewhere>,
    /// Numbers of directories that came anew and have not been walked.
    pub(super) unwalked: Vec<u32>,
}

impl Watched {
    /// Registers the roots and walks them. What the user did not name himself need not be possible.
    pub fn start(
        ledger: &mut Ledger,
        observer: &mut Observer,
        places: &Places,
        are_given: bool,
    ) -> Result<Self> {
        let mut watched = Self {
            places: Vec::new(),
            are_given,
            started: SystemTime::now(),
            elsewhere: Vec::new(),
            unwalked: Vec::new(),
        };
        for place in places.list() {
            let mut place = WatchedPlace::new(place.clone(), None);
            place.seen = place.there();
            match place.take_up(ledger, observer) {
                Ok(_) => {}
                Err(error) if are_given => return Err(error),
                Err(error) => place.trouble = Some(format!("{error:#}")),
            }
            watched.places.push(place);
        }
        ledger.seed_open_files()?;
        let Reconciled { failed, .. } = ledger.wait_for_walks(|_| ())?;
        for (index, error) in failed {
            watched.refuse(ledger, index, error, are_given)?;
        }
        for (_, row) in watched.directories() {
            row.before(ledger)?;
        }
        Ok(watched)
    }

    /// The first walk failed.
    fn refuse(
        &mut self,
        ledger: &mut Ledger,
        index: u32,
        error: anyhow::Error,
        is_given: bool,
    ) -> Result<()> {
        let is_it = |place: &&mut WatchedPlace| place.has(index);
        let Some(place) = self.places.iter_mut().find(is_it) else {
            return Err(error);
        };
        let path = printable(place.place.path.as_os_str().as_encoded_bytes());
        let error = error.context(format!("cannot walk {path}"));
        if is_given {
            return Err(error);
        }
        place.trouble = Some(format!("{error:#}"));
        place.directories.clear();
        ledger.unwatch(index)
    }

    fn directories(&mut self) -> impl Iterator<Item = &mut (FileId, RootRow)> {
        self.places
            .iter_mut()
            .flat_map(|place| &mut place.directories)
    }

    /// Numbers and paths of what is watched.
    pub fn paths(&self) -> impl Iterator<Item = (u32, String)> {
        let directories = |place: &WatchedPlace| {
            let path = place.place.path.to_string_lossy().into_owned();
            let rows = place.directories.iter();
            rows.map(|(_, row)| (row.index, path.clone()))
                .collect::<Vec<_>>()
        };
        self.places.iter().flat_map(directories)
    }

    /// Takes up directories that came in the place of others.
    pub fn look(
        &mut self,
        ledger: &mut Ledger,
        observer: &mut Observer,
        lines: &mut EventLines,
        mut each: impl FnMut(&EventLines, &mut Observer, Fact),
    ) -> Result<()> {
        let has_found = self.take_found(ledger, observer);
        if self.take_up(ledger, observer, DIRECTORIES_MAX) || has_found {
            ledger.seed_open_files()?;
            lines.name(self.paths());
        }
        if self.unwalked.is_empty() {
            return Ok(());
        }
        let Reconciled { done, .. } =
            ledger.reconcile(Unsure::Take, |fact| each(lines, observer, fact))?;
        self.enter(ledger, &done)
    }

    /// True if any came.
    fn take_up(
        &mut self,
        ledger: &mut Ledger,
        observer: &mut Observer,
        directories_max: usize,
    ) -> bool {
        let mut came = false;
        for place in &mut self.places {
            let there = place.there();
            if there == place.seen {
                continue;
            }
            place.seen = there;
            let has_room = place.directories.len() < directories_max;
            place.trouble = None;
            if there.is_none() || !has_room || place.position(there).is_some() {
                continue;
            }
            match place.take_up(ledger, observer) {
                Ok(index) => {
                    self.unwalked.push(index);
                    came = true;
                }
                Err(error) => place.trouble = Some(format!("{error:#}")),
            }
        }
        came
    }

    /// What was in them already is growth: of the one command that can have written it, or of nobody.
    fn enter(&mut self, ledger: &mut Ledger, walked: &[Reconciliation]) -> Result<()> {
        for found in walked {
            let is_new = self.unwalked.iter().position(|index| *index == found.index);
            if let Some(at) = is_new {
                self.unwalked.remove(at);
                self.credit(ledger, found.index)?;
            }
        }
        Ok(())
    }

    fn credit(&mut self, ledger: &mut Ledger, index: u32) -> Result<()> {
        let is_it = |place: &&mut WatchedPlace| place.has(index);
        let place = self.places.iter_mut().find(is_it);
        let is_older = place.is_some_and(|place| place.is_older && place.is_first(index));
        let row = self.directories().find(|(_, row)| row.index == index);
        match row {
            Some((_, row)) if is_older => row.begin(ledger),
            row => ledger.credit_initial_content(index, row.and_then(|(_, row)| row.maker)),
        }
    }

    /// The command starts: what was there before is not its.
    pub fn command_starts(&mut self) {
        self.started = SystemTime::now();
    }

    /// The last account: everything settled, every directory walked once more.
    pub fn settle(
        &mut self,
        ledger: &mut Ledger,
        observer: &mut Observer,
        baseline: &Accounts,
        mut each: impl FnMut(&mut Observer, Fact),
    ) -> Result<Accounts> {
        for place in &mut self.places {
            // What came too often while the command ran is taken up now.
            if place.position(place.seen).is_none() && place.trouble.is_none() {
                place.seen = None;
            }
        }
        let has_found = self.take_found(ledger, observer);
        if self.take_up(ledger, observer, DIRECTORIES_MAX + 1) || has_found {
            ledger.seed_open_files()?;
        }
        ledger.sweep()?;
        let first = ledger.wait_for_walks(|fact| each(observer, fact))?;
        self.enter(ledger, &first.done)?;
        for (_, row) in self.directories() {
            ledger.start_walk(row.index)?;
        }
        let Reconciled { mut done, failed } = ledger.wait_for_walks(|fact| each(observer, fact))?;
        for (index, error) in failed {
            done.extend(self.without_walk(ledger, index, &error)?);
        }
        let mut accounts = ledger.accounts()?.since(baseline);
        for found in &done {
            accounts.credit_mover(found, ledger)?;
            self.judge(ledger, found, &accounts);
        }
        Ok(accounts)
    }

    /// A directory that is gone is empty; of one that cannot be walked, the ledger's figures are what there is.
    fn without_walk(
        &mut self,
        ledger: &mut Ledger,
        index: u32,
        error: &anyhow::Error,
    ) -> Result<Option<Reconciliation>> {
        let is_gone = !ledger.root(index).is_some_and(WatchedRoot::exists);
        let place = self.places.iter_mut().find(|place| place.has(index));
        if let Some(place) = place.filter(|_| !is_gone) {
            place.trouble = Some(format!("cannot be walked at the end: {error:#}"));
        }
        let is_new = ledger.take_figures(index)?;
        if is_new {
            self.credit(ledger, index)?;
        }
        ledger.figures(index)
    }

    fn judge(&mut self, ledger: &Ledger, found: &Reconciliation, accounts: &Accounts) {
        let Some(place) = self.places.iter_mut().find(|place| place.has(found.index)) else {
            return;
        };
        let there = place.there();
        for (identity, row) in &mut place.directories {
            if row.index == found.index {
                row.after(found, accounts);
                row.ambiguous = ledger
                    .root(found.index)
                    .map_or_else(Ambiguous::default, |root| root.ambiguous);
                if Some(*identity) != there {
                    row.depart(&found.base);
                }
            }
        }
    }

    /// One row for each path, and the caches that are not watched.
    pub fn rows(mut self) -> (Vec<RootRow>, Vec<Elsewhere>) {
        self.elsewhere.retain(Elsewhere::has_content);
        // One that was named and never made holds nothing.
        self.places
            .retain(|place| place.found.is_none() || place.seen.is_some());
        let rows = self.places.into_iter().map(WatchedPlace::into_row);
        (rows.collect(), self.elsewhere)
    }
}

impl WatchedPlace {
    pub(super) fn new(place: Place, found: Option<Found>) -> Self {
        Self {
            place,
            seen: None,
            directories: Vec::new(),
            trouble: None,
            found,
            is_older: false,
        }
    }

    /// Watches what is there, if anything is; its number, unless it cannot be watched.
    pub(super) fn take_up_if_there(
        &mut self,
        ledger: &mut Ledger,
        observer: &mut Observer,
    ) -> Option<u32> {
        self.seen = self.there();
        self.seen?;
        let taken = self.take_up(ledger, observer);
        taken
            .inspect_err(|error| self.trouble = Some(format!("{error:#}")))
            .ok()
    }

    fn is_first(&self, index: u32) -> bool {
        let first = self.directories.first();
        first.is_some_and(|(_, row)| row.index == index)
    }

    fn there(&self) -> Option<FileId> {
        let found = std::fs::metadata(&self.place.path).ok()?;
        Some((found.dev(), found.ino()))
    }

    /// Which of its directories that is.
    pub(super) fn position(&self, identity: Option<FileId>) -> Option<usize> {
        let mut known = self.directories.iter();
        known.position(|(known, _)| Some(*known) == identity)
    }

    fn has(&self, index: u32) -> bool {
        self.directories.iter().any(|(_, row)| row.index == index)
    }

    /// Watches the directory that is there now; its number.
    fn take_up(&mut self, ledger: &mut Ledger, observer: &mut Observer) -> Result<u32> {
        let Place { path, kind } = &self.place;
        let index = ledger.watch(path)?;
        let root = ledger.root(index).context("a root vanished")?;
        let directory = Arc::clone(root.directory());
        let identity = directory.identity().context("cannot look at a root")?;
        let mut row = RootRow::new(index, &self.place);
        row.identity = (root.key.dev, root.key.ino);
        let by = self.found.as_ref().map(|found| &found.by);
        row.maker = observer.sole_writer(*kind, path, by, directory.open()?.as_fd());
        let shown = printable(path.as_os_str().as_encoded_bytes());
        observer.watch(index, shown, *kind, directory);
        self.directories.push((identity, row));
        Ok(index)
    }

    fn into_row(self) -> RootRow {
        let there = self.there();
        let at_end = self.position(there);
        let directory = match (self.directories.len(), at_end) {
            (0, _) => Directory::Unwatched,
            (_, Some(0)) => Directory::Same,
            (_, Some(_)) => Directory::Replaced,
            (_, None) if there.is_some() => Directory::Replaced,
            (_, None) => Directory::Gone,
        };
        let identity = at_end.and_then(|at| self.directories.get(at));
        let identity = identity.map(|(_, row)| row.identity);
        let mut rows = self.directories.into_iter().map(|(_, row)| row);
        let mut row = rows
            .next()
            .unwrap_or_else(|| RootRow::new(u32::MAX, &self.place));
        for later in rows {
            row.join(&later);
        }
        row.identity = identity.unwrap_or(row.identity);
        row.directory = directory;
        row.trouble = self.trouble;
        row.found_after = self.found.map(|found| found.after);
        row.is_older = self.is_older;
        row
    }
}
