//! What the ledger says of the canary's file, before and after each act.

use anyhow::Result;
use cache_ebpf::CreditKey;
use rustix::fs::{FileType, fstat};
use std::os::fd::AsFd;

use super::{Findings, directory::Cage};
use crate::{
    ledger::Book,
    model::changes::{Changes, changes, difference},
};

/// The agent's own account in the canary's directory, and the directory's total.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
struct Figures {
    account: Changes,
    total: Changes,
}

/// Compares figures with what was done.
pub(super) struct Witness<'a> {
    book: &'a mut Book,
    account: CreditKey,
    /// Nobody knew this process before: then nobody shall afterwards.
    is_stranger: bool,
    before: Figures,
    findings: Findings,
    /// Inode numbers of the files that were made.
    made: Vec<u64>,
}

impl<'a> Witness<'a> {
    pub(super) fn start(book: &'a mut Book, cage: &Cage) -> Result<Self> {
        let account = CreditKey {
            process: cage.process,
            root: cage.index,
            pad: 0,
        };
        let is_stranger = book.session().tables.process(&cage.process)?.is_none();
        let mut witness = Self {
            book,
            account,
            is_stranger,
            before: Figures::default(),
            findings: Findings::default(),
            made: Vec::new(),
        };
        witness.before = witness.look()?;
        Ok(witness)
    }

    fn look(&self) -> Result<Figures> {
        let credit = self.book.credit(&self.account)?;
        Ok(Figures {
            account: credit.as_ref().map(changes).unwrap_or_default(),
            total: self.book.total(self.account.root)?,
        })
    }

    /// `operation` was done and should have changed this.
    pub(super) fn expect(&mut self, operation: &'static str, expected: Changes) -> Result<()> {
        let now = self.look()?;
        let account = difference(&now.account, &self.before.account);
        let total = difference(&now.total, &self.before.total);
        let is_right = account == expected && total == expected;
        if !is_right {
            tracing::debug!(
                operation,
                ?expected,
                ?account,
                ?total,
                "the canary's figures differ"
            );
        }
        self.findings.note(operation, is_right);
        self.before = now;
        Ok(())
    }

    /// Settles what is open, as happens every second.
    pub(super) fn sweep(&mut self) -> Result<()> {
        self.book.sweep()
    }

    /// A file has been made.
    pub(super) fn remember(&mut self, file: impl AsFd) -> Result<()> {
        let found = fstat(file)?;
        debug_assert!(FileType::from_raw_mode(found.st_mode).is_file());
        self.made.push(found.st_ino);
        Ok(())
    }

    /// Leaves no trace in the ledger: no account, no process, no file that was not seen to go.
    pub(super) fn finish(self) -> Result<Findings> {
        let Self {
            book,
            account,
            is_stranger,
            findings,
            made,
            ..
        } = self;
        for ino in made {
            book.forget_file(account.root, ino)?;
        }
        let tables = &mut book.session().tables;
        tables.close_account(&account)?;
        if is_stranger {
            tables.forget_process(&account.process)?;
        }
        Ok(findings)
    }
}
