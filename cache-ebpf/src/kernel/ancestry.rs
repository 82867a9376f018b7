//! Fields that tell of processes and of names, beyond what the ledger needs.

use cache_ebpf::ancestry::{ENTRY_DIGITS, ENTRY_NAME_BYTES};

use super::{
    Access, DENTRY_NAME_HASH, DENTRY_NAME_LENGTH, Dentry, Plain, Read, SIGNAL_RUNTIME,
    TASK_EXIT_CODE, TASK_LEADER, TASK_RUNTIME, TASK_SIGNAL, Task,
};

impl<A: Access> Task<A> {
    /// Status as `wait` tells it; it has one once it exits.
    #[inline(always)]
    pub(crate) fn exit_status(self) -> Read<u32> {
        A::read(self.address, TASK_EXIT_CODE.load())
    }

    /// CPU time of all threads of the process, in nanoseconds, asked by its last thread.
    #[inline(always)]
    pub(crate) fn cpu_ns(self) -> Read<u64> {
        let signal: u64 = A::read(self.address, TASK_SIGNAL.load())?;
        let own: u64 = A::read(self.address, TASK_RUNTIME.load())?;
        let ended: u64 = A::read(signal, SIGNAL_RUNTIME.load())?;
        let all = own.wrapping_add(ended);
        if self.pid()? == self.tgid()? {
            return Ok(all);
        }
        // A leader that exited before its threads waits, unreaped and not yet added up.
        let leader: u64 = A::read(self.address, TASK_LEADER.load())?;
        let leading: u64 = A::read(leader, TASK_RUNTIME.load())?;
        Ok(all.wrapping_add(leading))
    }
}

impl<A: Access> Dentry<A> {
    /// Bytes of its name.
    #[inline(always)]
    pub(crate) fn name_length(self) -> Read<u32> {
        A::read(self.address, DENTRY_NAME_LENGTH.load())
    }

    /// Hash of its name: of the directories that a rename touches, it tells the one that was renamed.
    #[inline(always)]
    pub(crate) fn name_hash(self) -> Read<u32> {
        A::read(self.address, DENTRY_NAME_HASH.load())
    }

    /// The last two bytes of a name as long as that of a cache's entry.
    #[inline(always)]
    pub(crate) fn entry_suffix(self) -> Read<[u8; 2]> {
        Plain::read(self.name()?, u64::from(ENTRY_NAME_BYTES) - 2)
    }
}

/// The id of an entry's action, as the entry's name at this address begins.
#[inline(always)]
pub(crate) fn entry_digits(name: u64) -> Read<[u8; ENTRY_DIGITS]> {
    Plain::read(name, 0)
}
