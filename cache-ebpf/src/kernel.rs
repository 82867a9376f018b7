//! Typed reads of kernel structures: the only pointer arithmetic on kernel memory.
//!
//! Offsets come from the running kernel's BTF (`offsets::FIELDS`), as frozen globals which the verifier
//! treats as constants. Reads go through `bpf_probe_read_kernel`, which cannot fault: raw tracepoints and
//! system call tracepoints hand out plain addresses. (BTF-typed tracepoints would save two helper calls a
//! hook, but resolving them through aya costs 20 MiB of memory at start.)

use aya_ebpf::{
    Global,
    helpers::{bpf_get_current_task, bpf_probe_read_kernel},
};
use cache_ebpf::{InodeKey, ProcessKey, counter, kernel_fields};

macro_rules! globals {
    ($($global:ident: $structure:literal $member:literal $(| $other:literal)*;)*) => {
        $(#[unsafe(no_mangle)] static $global: Global<u64> = Global::new(0);)*
    };
}
kernel_fields!(globals);

#[unsafe(no_mangle)]
static FILE_COUNT_ONE: Global<u64> = Global::new(0);

/// Why a fact could not be had; the value is the counter to raise.
#[derive(Clone, Copy)]
pub(crate) struct Fault(pub u32);

/// What a kernel read gives.
pub(crate) type Read<T> = Result<T, Fault>;

const FMODE_WRITE: u32 = 0x2;
const FMODE_CREATED: u32 = 0x0010_0000;
const S_IFMT: u32 = 0o170_000;
const S_IFREG: u32 = 0o100_000;
const S_IFDIR: u32 = 0o040_000;

#[inline(always)]
fn read<T: Copy>(base: u64, offset: u64) -> Read<T> {
    let source = base.wrapping_add(offset) as *const T;
    // SAFETY: the helper checks the address itself and reports a fault.
    unsafe { bpf_probe_read_kernel(source) }.map_err(|_| Fault(counter::FAULT_READ))
}

/// True for a mode of a regular file.
#[inline(always)]
pub(crate) fn is_regular(mode: u32) -> bool {
    mode & S_IFMT == S_IFREG
}

/// True for a mode of a directory.
#[inline(always)]
pub(crate) fn is_directory(mode: u32) -> bool {
    mode & S_IFMT == S_IFDIR
}

/// A `struct task_struct`.
#[derive(Clone, Copy)]
pub(crate) struct Task(u64);

impl Task {
    /// The running task.
    #[inline(always)]
    pub(crate) fn current() -> Self {
        // SAFETY: the helper has no precondition.
        Self(unsafe { bpf_get_current_task() })
    }

    /// From a tracepoint's argument.
    #[inline(always)]
    pub(crate) fn at(address: u64) -> Self {
        Self(address)
    }

    #[inline(always)]
    pub(crate) fn tgid(self) -> Read<u32> {
        read(self.0, TASK_TGID.load())
    }

    #[inline(always)]
    pub(crate) fn pid(self) -> Read<u32> {
        read(self.0, TASK_PID.load())
    }

    /// Thread group id of the parent.
    #[inline(always)]
    pub(crate) fn parent_tgid(self) -> Read<u32> {
        Self(read(self.0, TASK_PARENT.load())?).tgid()
    }

    /// The process this task belongs to.
    #[inline(always)]
    pub(crate) fn process(self) -> Read<ProcessKey> {
        let leader: u64 = read(self.0, TASK_LEADER.load())?;
        Ok(ProcessKey {
            start_ns: read(leader, TASK_START.load())?,
            tgid: self.tgid()?,
            pad: 0,
        })
    }

    /// Threads of the process that have not begun to exit.
    #[inline(always)]
    pub(crate) fn live_threads(self) -> Read<u32> {
        let signal: u64 = read(self.0, TASK_SIGNAL.load())?;
        read(signal, SIGNAL_LIVE.load())
    }

    /// Bounds of the argument strings in the task's own memory.
    #[inline(always)]
    pub(crate) fn arguments(self) -> Read<(u64, u64)> {
        let mm: u64 = read(self.0, TASK_MM.load())?;
        if mm == 0 {
            return Ok((0, 0));
        }
        Ok((read(mm, MM_ARG_START.load())?, read(mm, MM_ARG_END.load())?))
    }

    /// The file open at descriptor `fd`, if any.
    #[inline(always)]
    pub(crate) fn file(self, fd: u64) -> Read<Option<File>> {
        let files: u64 = read(self.0, TASK_FILES.load())?;
        if files == 0 {
            return Ok(None);
        }
        let table: u64 = read(files, FILES_FDT.load())?;
        let max: u32 = read(table, FDT_MAX.load())?;
        if fd >= u64::from(max) {
            return Ok(None);
        }
        let slots: u64 = read(table, FDT_FD.load())?;
        let file: u64 = read(slots, fd * 8)?;
        Ok(if file == 0 { None } else { Some(File(file)) })
    }
}

/// A `struct file`.
#[derive(Clone, Copy)]
pub(crate) struct File(u64);

impl File {
    #[inline(always)]
    pub(crate) fn mode(self) -> Read<FileMode> {
        read(self.0, FILE_MODE.load()).map(FileMode)
    }

    #[inline(always)]
    pub(crate) fn inode(self) -> Read<Inode> {
        read(self.0, FILE_INODE.load()).map(Inode)
    }

    #[inline(always)]
    pub(crate) fn dentry(self) -> Read<Dentry> {
        read(self.0, FILE_DENTRY.load()).map(Dentry)
    }

    /// True while one reference exists: closing it now is the last close.
    #[inline(always)]
    pub(crate) fn is_last_reference(self) -> Read<bool> {
        Ok(read::<u64>(self.0, FILE_COUNT.load())? == FILE_COUNT_ONE.load())
    }
}

/// `file.f_mode`.
#[derive(Clone, Copy)]
pub(crate) struct FileMode(u32);

impl FileMode {
    #[inline(always)]
    pub(crate) fn writes(self) -> bool {
        self.0 & FMODE_WRITE != 0
    }

    /// This open created the file.
    #[inline(always)]
    pub(crate) fn created(self) -> bool {
        self.0 & FMODE_CREATED != 0
    }
}

/// A `struct inode`.
#[derive(Clone, Copy)]
pub(crate) struct Inode(pub u64);

impl Inode {
    #[inline(always)]
    pub(crate) fn key(self) -> Read<InodeKey> {
        Ok(InodeKey {
            ino: self.number()?,
            dev: self.device()?,
            pad: 0,
        })
    }

    #[inline(always)]
    pub(crate) fn device(self) -> Read<u32> {
        let superblock: u64 = read(self.0, INODE_SB.load())?;
        read(superblock, SB_DEV.load())
    }

    #[inline(always)]
    fn number(self) -> Read<u64> {
        read(self.0, INODE_INO.load())
    }

    #[inline(always)]
    pub(crate) fn mode(self) -> Read<u32> {
        read::<u16>(self.0, INODE_MODE.load()).map(u32::from)
    }

    #[inline(always)]
    pub(crate) fn size(self) -> Read<u64> {
        read(self.0, INODE_SIZE.load())
    }

    #[inline(always)]
    pub(crate) fn nlink(self) -> Read<u32> {
        read(self.0, INODE_NLINK.load())
    }

    #[inline(always)]
    pub(crate) fn generation(self) -> Read<u32> {
        read(self.0, INODE_GENERATION.load())
    }

    /// Open file descriptions that can write.
    #[inline(always)]
    pub(crate) fn writers(self) -> Read<i32> {
        read(self.0, INODE_WRITECOUNT.load())
    }

    /// True while the memory still holds this very inode: it may have been freed meanwhile.
    #[inline(always)]
    pub(crate) fn is(self, key: &InodeKey, generation: u32) -> bool {
        let same = self.number().is_ok_and(|ino| ino == key.ino)
            && self.generation().is_ok_and(|g| g == generation);
        same && self.device().is_ok_and(|dev| dev == key.dev)
    }

    /// The first name that leads to it in the dentry cache: unhashed dentries (deleted names,
    /// `O_TMPFILE`) do not count.
    #[inline(always)]
    pub(crate) fn name(self) -> Read<Option<Dentry>> {
        let mut link: u64 = read(self.0, INODE_ALIASES.load())?;
        for _ in 0..8 {
            if link == 0 {
                return Ok(None);
            }
            let dentry = link.wrapping_sub(DENTRY_ALIAS.load());
            if read::<u64>(dentry, DENTRY_HASHED.load())? != 0 {
                return Ok(Some(Dentry(dentry)));
            }
            link = read(link, 0)?;
        }
        Ok(None)
    }

    /// Any dentry, hashed or not: the directory's own one for a directory.
    #[inline(always)]
    pub(crate) fn any_dentry(self) -> Read<Option<Dentry>> {
        let link: u64 = read(self.0, INODE_ALIASES.load())?;
        Ok(if link == 0 {
            None
        } else {
            Some(Dentry(link.wrapping_sub(DENTRY_ALIAS.load())))
        })
    }
}

/// A `struct dentry`.
#[derive(Clone, Copy)]
pub(crate) struct Dentry(pub u64);

impl Dentry {
    #[inline(always)]
    pub(crate) fn parent(self) -> Read<Self> {
        read(self.0, DENTRY_PARENT.load()).map(Self)
    }

    /// Inode number of its directory.
    #[inline(always)]
    pub(crate) fn directory_number(self) -> Read<u64> {
        match self.parent()?.inode()? {
            Some(inode) => inode.number(),
            None => Ok(0),
        }
    }

    /// Its inode, `None` for a negative dentry.
    #[inline(always)]
    pub(crate) fn inode(self) -> Read<Option<Inode>> {
        let inode: u64 = read(self.0, DENTRY_INODE.load())?;
        Ok(if inode == 0 { None } else { Some(Inode(inode)) })
    }

    /// Address of its name, which ends with NUL.
    #[inline(always)]
    pub(crate) fn name(self) -> Read<u64> {
        read(self.0, DENTRY_NAME.load())
    }
}
