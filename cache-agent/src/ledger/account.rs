//! Accounts of processes: the kernel's, added up with what only user space can credit.

use std::collections::HashMap;

use cache_ebpf::{Credit, CreditKey, PROCESS_IN_COMMAND, Process, ProcessKey};

use crate::{invocation::tool, snapshot::Changes};

/// A kernel account as signed figures.
pub fn changes(credit: &Credit) -> Changes {
    Changes {
        growth_bytes: credit.growth.cast_signed(),
        freed_bytes: credit.freed,
        files_created: credit.created,
        files_deleted: credit.deleted,
        files_renamed: credit.renamed,
    }
}

/// Who a process is; strings from the observed side, never trusted, never printed raw.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Identity {
    /// Command name.
    pub comm: String,
    /// Arguments, possibly cut.
    pub argv: Vec<String>,
    /// Real user id.
    pub uid: u32,
    /// Parent's process id when it was first seen.
    pub ppid: u32,
    /// Descends from the traced command.
    pub in_command: bool,
    /// It has ended.
    pub ended: bool,
    /// Index of its tool in `snapshot::GROUPS`.
    pub group: usize,
    /// Innermost tool it descends from, or is.
    pub invocation: Option<ProcessKey>,
}

impl Identity {
    /// From what the kernel side captured.
    pub fn of(process: &Process) -> Self {
        let comm = until_nul(&process.comm);
        let length = usize::try_from(process.argv_len)
            .unwrap_or(0)
            .min(process.argv.len());
        let argv = arguments(process.argv.get(..length).unwrap_or_default());
        Self {
            group: tool::group(&comm, &argv),
            comm,
            argv,
            uid: process.uid,
            ppid: process.ppid,
            in_command: process.flags & PROCESS_IN_COMMAND != 0,
            ended: process.ended_ns != 0,
            invocation: Some(process.invocation).filter(|leader| leader.tgid != 0),
        }
    }
}

fn until_nul(bytes: &[u8]) -> String {
    let end = bytes
        .iter()
        .position(|byte| *byte == 0)
        .unwrap_or(bytes.len());
    String::from_utf8_lossy(bytes.get(..end).unwrap_or_default()).into_owned()
}

fn arguments(bytes: &[u8]) -> Vec<String> {
    let bytes = bytes.strip_suffix(b"\0").unwrap_or(bytes);
    if bytes.is_empty() {
        return Vec::new();
    }
    bytes
        .split(|byte| *byte == 0)
        .map(|argument| String::from_utf8_lossy(argument).into_owned())
        .collect()
}

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

/// `later - earlier`, field by field.
pub fn difference(later: &Changes, earlier: &Changes) -> Changes {
    Changes {
        growth_bytes: later.growth_bytes.wrapping_sub(earlier.growth_bytes),
        freed_bytes: later.freed_bytes.wrapping_sub(earlier.freed_bytes),
        files_created: later.files_created.wrapping_sub(earlier.files_created),
        files_deleted: later.files_deleted.wrapping_sub(earlier.files_deleted),
        files_renamed: later.files_renamed.wrapping_sub(earlier.files_renamed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_split_at_nul_and_never_panic() {
        for (bytes, expected) in [
            (&b"go\0build\0./...\0"[..], vec!["go", "build", "./..."]),
            (b"go\0\0x", vec!["go", "", "x"]),
            (b"", vec![]),
            (b"\xff\xfe\0", vec!["\u{fffd}\u{fffd}"]),
        ] {
            assert_eq!(arguments(bytes), expected);
        }
    }

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
