//! Accounts of processes: the kernel's, added up with what only user space can credit.

use std::collections::HashMap;

use anyhow::Result;
use cache_ebpf::{Credit, CreditKey, Process, ProcessKey};

use super::{Ledger, Reconciliation};
use crate::{
    kernel::ledger_maps::LedgerMaps,
    model::{
        changes::{Changes, changes, difference},
        process::Identity,
    },
};

/// The account of one process.
#[derive(Clone, Debug, Default)]
pub struct Account {
    /// Who, as far as known.
    pub identity: Identity,
    /// Changes by root index.
    pub roots: HashMap<u32, Changes>,
    /// Look-ups in build caches by root index: hits and misses.
    pub lookups: HashMap<u32, (u64, u64)>,
}

/// Changes and look-ups of several processes in one root.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sums {
    /// What changed.
    pub changes: Changes,
    /// Look-ups that found their entry.
    pub hits: u64,
    /// Entries created.
    pub misses: u64,
}

impl Account {
    /// All roots together.
    pub fn total(&self) -> Changes {
        let mut total = Changes::default();
        for changes in self.roots.values() {
            total.add(changes);
        }
        total
    }

    /// Something changed, or was looked up.
    fn has_any(&self) -> bool {
        self.total() != Changes::default()
            || self.lookups.values().any(|lookups| *lookups != (0, 0))
    }
}

/// All accounts, as of one look into the kernel.
#[derive(Clone, Debug, Default)]
pub struct Accounts {
    /// By process; nobody's account has thread group id 0.
    pub processes: HashMap<ProcessKey, Account>,
}

impl Accounts {
    /// From the kernel's accounts and identities.
    pub fn of(credits: &[(CreditKey, Credit)], identities: &[(ProcessKey, Process)]) -> Self {
        let mut accounts = Self::default();
        for (key, credit) in credits {
            if credit.changes > 0 {
                let account = accounts.processes.entry(key.process).or_default();
                account
                    .roots
                    .entry(key.root)
                    .or_default()
                    .add(&changes(credit));
                let lookups = account.lookups.entry(key.root).or_default();
                lookups.0 += credit.hits;
                lookups.1 += credit.misses;
            }
        }
        for (key, process) in identities {
            if let Some(account) = accounts.processes.get_mut(key) {
                account.identity = Identity::of(process);
            }
        }
        accounts
    }

    /// These accounts less what was in them at an earlier look.
    #[must_use]
    pub fn since(mut self, earlier: &Self) -> Self {
        for (process, before) in &earlier.processes {
            let Some(account) = self.processes.get_mut(process) else {
                continue;
            };
            for (root, before) in &before.roots {
                if let Some(changes) = account.roots.get_mut(root) {
                    *changes = difference(changes, before);
                }
            }
            for (root, before) in &before.lookups {
                if let Some(lookups) = account.lookups.get_mut(root) {
                    *lookups = (lookups.0 - before.0, lookups.1 - before.1);
                }
            }
        }
        self.processes.retain(|_, account| account.has_any());
        self
    }

    /// Adds what a walk found that a directory moved over the border explains.
    pub fn credit_mover(
        &mut self,
        found: &Reconciliation,
        ledger: &Ledger<impl LedgerMaps>,
    ) -> Result<()> {
        let Some((mover, moved)) = &found.moved else {
            return Ok(());
        };
        let account = self.processes.entry(*mover).or_default();
        account.roots.entry(found.index).or_default().add(moved);
        if let Some(process) = ledger.process(mover)? {
            account.identity = Identity::of(&process);
        }
        Ok(())
    }

    /// Sums by invocation and root.
    pub fn by_invocation(&self) -> HashMap<ProcessKey, HashMap<u32, Sums>> {
        let mut sums: HashMap<ProcessKey, HashMap<u32, Sums>> = HashMap::new();
        for account in self.processes.values() {
            let Some(invocation) = account.identity.invocation else {
                continue;
            };
            let sums = sums.entry(invocation).or_default();
            for (root, changes) in &account.roots {
                sums.entry(*root).or_default().changes.add(changes);
            }
            for (root, (hits, misses)) in &account.lookups {
                let sum = sums.entry(*root).or_default();
                sum.hits += hits;
                sum.misses += misses;
            }
        }
        sums
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_starts_anew_at_an_earlier_look() {
        let key = |tgid| ProcessKey {
            start_ns: 5,
            tgid,
            pad: 0,
        };
        let credit = |tgid, root, growth: i64| {
            let key = CreditKey {
                process: key(tgid),
                root,
                pad: 0,
            };
            let credit = Credit {
                growth: growth.cast_unsigned(),
                changes: 1,
                ..bytemuck::Zeroable::zeroed()
            };
            (key, credit)
        };
        let earlier = Accounts::of(&[credit(1, 0, 10), credit(2, 0, 7), credit(9, 0, 3)], &[]);
        let later = [
            credit(1, 0, 4),
            credit(1, 1, 100),
            credit(2, 0, 7),
            credit(3, 0, -2),
        ];
        let since = Accounts::of(&later, &[]).since(&earlier);
        let mut growth: Vec<_> = since
            .processes
            .iter()
            .map(|(key, account)| (key.tgid, account.total().growth_bytes))
            .collect();
        growth.sort_unstable();
        // 2 did nothing since, 9 is gone.
        assert_eq!(growth, [(1, 94), (3, -2)]);
    }
}
