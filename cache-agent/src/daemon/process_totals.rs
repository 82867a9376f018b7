//! Accounts of processes, added up per root and tool; those of processes that ended are folded in.
//!
//! Takes: the kernel's accounts, once per tick. Gives: sums. Never: loses a byte: what the accounts do not
//! explain of a root's total is unattributed.

use std::collections::{HashMap, HashSet};

use anyhow::Result;
use cache_ebpf::{Credit, CreditKey, Process, ProcessKey};

use super::roots::RootTable;
use crate::{
    kernel::ledger_maps::LedgerMaps,
    ledger::{Ledger, accounts},
    model::{
        changes::{Changes, changes, difference},
        process::Identity,
        tool_group::{self, GROUPS},
    },
};

/// Nobody.
const NOBODY: u32 = 0;

/// Changes by tool.
pub(super) type Groups = [Changes; GROUPS.len()];

/// What was folded so far.
#[derive(Debug, Default)]
pub(super) struct ProcessTotals {
    /// Accounts of ended processes at the last look: folded once they stand still.
    resting: HashMap<CreditKey, Credit>,
    /// Processes folded since the start.
    pub folded: u64,
    /// Accounts folded since they were last asked for, as far as they belong to an invocation.
    exited: Vec<ExitedAccount>,
}

/// What an ended process leaves to its invocation, or to itself if it is of none.
#[derive(Clone, Debug)]
pub(super) struct ExitedAccount {
    /// Leader of the invocation.
    pub invocation: ProcessKey,
    /// In which root.
    pub root: u32,
    /// What it changed and looked up there.
    pub sums: accounts::Sums,
    /// Who it was, if it was the leader itself or of no invocation.
    pub leader: Option<Identity>,
}

/// Leaving accounts that may wait; of more, the bytes are in no record, but in every total.
const EXITED_MAX: usize = 65_536;

/// One look.
#[derive(Debug, Default)]
pub(super) struct Sums {
    /// By number of the root, live processes only.
    pub roots: HashMap<u32, Groups>,
    /// Processes with an account of their own.
    pub tracked: u64,
    /// Accounts in the kernel.
    pub accounts: u64,
    /// Leaders of invocations with accounts in the kernel, by number of the root.
    pub invocations: HashMap<u32, HashSet<ProcessKey>>,
}

impl Sums {
    /// Leaders of invocations that changed a root or looked something up in it, and are under way.
    pub(super) fn live_users(&self, root: u32) -> HashSet<ProcessKey> {
        self.invocations.get(&root).cloned().unwrap_or_default()
    }

    /// Leaders of all invocations with accounts in the kernel.
    pub(super) fn busy(&self) -> HashSet<ProcessKey> {
        self.invocations.values().flatten().copied().collect()
    }
}

impl ProcessTotals {
    /// Accounts of ended processes wait to be folded.
    pub(super) fn is_resting(&self) -> bool {
        !self.resting.is_empty()
    }

    /// What ended processes left since this was last asked.
    pub(super) fn take_exited(&mut self) -> Vec<ExitedAccount> {
        std::mem::take(&mut self.exited)
    }

    /// Reads all accounts, folds those of ended processes, sums up the rest.
    pub(super) fn read(
        &mut self,
        ledger: &mut Ledger<impl LedgerMaps>,
        roots: &mut RootTable,
    ) -> Result<Sums> {
        let credits = ledger.credits()?;
        let processes: HashMap<ProcessKey, Process> = ledger.processes()?.into_iter().collect();
        let mut sums = Sums {
            tracked: processes.len() as u64,
            accounts: credits.len() as u64,
            ..Sums::default()
        };
        let mut resting = HashMap::new();
        for (key, credit) in credits {
            let identity = processes.get(&key.process).map(Identity::of);
            let is_over = identity
                .as_ref()
                .is_none_or(|identity| identity.ended_ns.is_some())
                && key.process.tgid != NOBODY;
            if is_over && self.resting.get(&key) == Some(&credit) {
                self.fold(ledger, roots, &key, &credit, identity.as_ref())?;
                continue;
            }
            let invocation = identity.as_ref().and_then(|identity| identity.invocation);
            sums.invocations
                .entry(key.root)
                .or_default()
                .extend(invocation);
            if is_over {
                resting.insert(key, credit);
            }
            let group = group(&key, identity.as_ref());
            sums.roots.entry(key.root).or_default()[group].add(&changes(&credit));
        }
        self.resting = resting;
        self.forget_processes(ledger, &processes)?;
        Ok(sums)
    }

    fn fold(
        &mut self,
        ledger: &mut Ledger<impl LedgerMaps>,
        roots: &mut RootTable,
        key: &CreditKey,
        credit: &Credit,
        identity: Option<&Identity>,
    ) -> Result<()> {
        ledger.close_account(key)?;
        self.leave(key, credit, identity);
        if let Some(root) = roots.by_index(key.root) {
            root.folded[group(key, identity)].add(&changes(credit));
        }
        Ok(())
    }

    fn leave(&mut self, key: &CreditKey, credit: &Credit, identity: Option<&Identity>) {
        let invocation = identity.map(|identity| identity.invocation.unwrap_or(key.process));
        let Some(invocation) = invocation.filter(|_| self.exited.len() < EXITED_MAX) else {
            return;
        };
        let leader = identity.filter(|_| invocation == key.process);
        self.exited.push(ExitedAccount {
            invocation,
            root: key.root,
            sums: accounts::Sums {
                changes: changes(credit),
                hits: credit.hits,
                misses: credit.misses,
            },
            leader: leader.cloned(),
        });
    }

    /// A process that ended is forgotten with its last account.
    fn forget_processes(
        &mut self,
        ledger: &mut Ledger<impl LedgerMaps>,
        processes: &HashMap<ProcessKey, Process>,
    ) -> Result<()> {
        let waiting: HashSet<ProcessKey> = self.resting.keys().map(|key| key.process).collect();
        for (key, process) in processes {
            if process.ended_ns != 0 && !waiting.contains(key) {
                ledger.forget_process(key)?;
                self.folded += 1;
            }
        }
        Ok(())
    }

    /// Closes all accounts of a root that is let go: they belong to its name, whatever directory comes next.
    pub(super) fn close_root(
        &mut self,
        ledger: &mut Ledger<impl LedgerMaps>,
        roots: &mut RootTable,
        index: u32,
    ) -> Result<()> {
        let total = ledger.total(index)?;
        let corrected = ledger.root(index).map(|root| root.corrected);
        let processes: HashMap<ProcessKey, Process> = ledger.processes()?.into_iter().collect();
        let credits = ledger.credits()?;
        for (key, credit) in credits.iter().filter(|(key, _)| key.root == index) {
            let identity = processes.get(&key.process).map(Identity::of);
            self.fold(ledger, roots, key, credit, identity.as_ref())?;
        }
        if let Some(entry) = roots.by_index(index) {
            entry.carried.add(&total);
            entry.corrected.add(&corrected.unwrap_or_default());
        }
        Ok(())
    }
}

fn group(key: &CreditKey, identity: Option<&Identity>) -> usize {
    match identity {
        _ if key.process.tgid == NOBODY => tool_group::UNATTRIBUTED,
        Some(identity) => identity.group,
        None => tool_group::OTHER,
    }
}

/// All groups of a root: what was folded, what lives, and into `unattributed` what walks corrected and what
/// the accounts lack of `total`, which was read before them: an account is behind then only if it lost
/// something, while one that is ahead has just grown.
pub(super) fn complete(
    folded: &Groups,
    live: Option<&Groups>,
    total: &Changes,
    corrected: &Changes,
) -> Groups {
    let mut groups = *folded;
    let mut sum = Changes::default();
    for (at, group) in groups.iter_mut().enumerate() {
        if let Some(live) = live.and_then(|live| live.get(at)) {
            group.add(live);
        }
        sum.add(group);
    }
    let unattributed = &mut groups[tool_group::UNATTRIBUTED];
    if is_behind(&sum, total) {
        unattributed.add(&difference(total, &sum));
    }
    unattributed.add(corrected);
    groups
}

/// Compares what only ever grows.
fn is_behind(sum: &Changes, total: &Changes) -> bool {
    sum.grown_bytes() < total.grown_bytes()
        || sum.freed_bytes < total.freed_bytes
        || sum.files_created < total.files_created
        || sum.files_deleted < total.files_deleted
        || sum.files_renamed < total.files_renamed
}

#[cfg(test)]
mod tests {
    use super::{
        super::testbed::{Testbed, group as group_of},
        *,
    };
    use crate::snapshot::Snapshot;

    fn grown(growth_bytes: i64) -> Changes {
        Changes {
            growth_bytes,
            files_created: 1,
            ..Changes::default()
        }
    }

    #[track_caller]
    fn check(accounts: i64, total: i64, corrected: i64, unattributed: i64) {
        let mut live = [Changes::default(); GROUPS.len()];
        live[0] = grown(accounts);
        let corrected = Changes {
            growth_bytes: corrected,
            ..Changes::default()
        };
        let folded = [Changes::default(); GROUPS.len()];
        let groups = complete(&folded, Some(&live), &grown(total), &corrected);
        assert_eq!(groups[tool_group::UNATTRIBUTED].growth_bytes, unattributed);
    }

    /// Processes with an account of their own.
    fn tracked(snapshot: &Snapshot) -> u64 {
        let mut maps = snapshot.maps.iter();
        maps.find(|map| map.name == "processes").unwrap().entries
    }

    #[test]
    fn what_accounts_lack_is_unattributed_and_what_they_gained_meanwhile_is_not() {
        check(100, 100, 0, 0);
        check(60, 100, 0, 40);
        check(144, 100, 0, 0);
        check(144, 100, -7, -7);
    }

    #[test]
    fn an_ended_account_is_folded_once_it_rested_for_a_look_and_no_figure_changes() {
        let mut testbed = Testbed::new();
        let go = testbed.kernel.start("go build");
        testbed.kernel.write(go, &testbed.path("cache/a"), 100);
        let alive = testbed.look();
        testbed.kernel.exit(go);
        let rests = testbed.look();
        assert_eq!((tracked(&rests), rests.processes_folded), (1, 0));
        assert_eq!(testbed.growth(go), 100);
        let folded = testbed.look();
        assert_eq!((tracked(&folded), folded.processes_folded), (1, 1));
        assert_eq!(tracked(&testbed.look()), 0);
        assert_eq!(testbed.growth(go), 0);
        assert_eq!(folded.roots[0].groups, alive.roots[0].groups);
    }

    #[test]
    fn an_account_that_still_changes_after_its_end_is_not_folded() {
        let mut testbed = Testbed::new();
        let go = testbed.kernel.start("go build");
        testbed.kernel.open(go, &testbed.path("cache/a"));
        testbed.kernel.exit(go);
        for _ in 0..3 {
            testbed.kernel.append(&testbed.path("cache/a"), 10);
            testbed.event_loop.ledger.sweep().unwrap();
            testbed.look();
        }
        assert_eq!(testbed.growth(go), 30);
        testbed.look();
        let root = testbed.look().roots.remove(0);
        assert_eq!(testbed.growth(go), 0);
        assert_eq!(group_of(&root, "go-build").growth_bytes, 30);
    }

    #[test]
    fn nobodys_account_is_never_folded() {
        let mut testbed = Testbed::new();
        let before = testbed.look();
        assert_eq!(
            (testbed.look().maps[0].entries, before.processes_folded),
            (1, 0)
        );
    }
}
