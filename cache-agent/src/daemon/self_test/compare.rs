//! What the ledger says of the self-test's file, before and after each act.

use anyhow::Result;
use cache_ebpf::CreditKey;
use rustix::fs::{FileType, fstat};
use std::os::fd::AsFd;

use super::{Findings, directory::TestDirectory};
use crate::{
    kernel::ledger_maps::LedgerMaps,
    ledger::Ledger,
    model::changes::{Changes, changes, difference},
};

/// The agent's own account in the self-test's directory, and the directory's total.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
struct Figures {
    account: Changes,
    total: Changes,
}

/// Compares figures with what was done.
pub(super) struct Comparison<'a, M: LedgerMaps> {
    ledger: &'a mut Ledger<M>,
    account: CreditKey,
    /// Nobody knew this process before: then nobody shall afterwards.
    is_stranger: bool,
    before: Figures,
    findings: Findings,
    /// Inode numbers of the files that were made.
    made: Vec<u64>,
}

impl<'a, M: LedgerMaps> Comparison<'a, M> {
    pub(super) fn start(ledger: &'a mut Ledger<M>, directory: &TestDirectory) -> Result<Self> {
        let account = CreditKey {
            process: directory.process,
            root: directory.index,
            pad: 0,
        };
        let is_stranger = ledger.process(&directory.process)?.is_none();
        let mut comparison = Self {
            ledger,
            account,
            is_stranger,
            before: Figures::default(),
            findings: Findings::default(),
            made: Vec::new(),
        };
        comparison.before = comparison.look()?;
        Ok(comparison)
    }

    fn look(&self) -> Result<Figures> {
        let credit = self.ledger.credit(&self.account)?;
        Ok(Figures {
            account: credit.as_ref().map(changes).unwrap_or_default(),
            total: self.ledger.total(self.account.root)?,
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
        self.ledger.sweep()
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
            ledger,
            account,
            is_stranger,
            findings,
            made,
            ..
        } = self;
        for ino in made {
            ledger.forget_file(account.root, ino)?;
        }
        ledger.close_account(&account)?;
        if is_stranger {
            ledger.forget_process(&account.process)?;
        }
        Ok(findings)
    }
}
