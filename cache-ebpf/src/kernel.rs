//! Typed reads of kernel structures: the only pointer arithmetic on kernel memory.
//!
//! Offsets come from the running kernel's BTF (`offsets::FIELDS`), as frozen globals which the verifier
//! treats as constants. Where it knows what a pointer points to (`Typed`: arguments of `fentry` programs, the
//! running task, and what is loaded from either), a field is one load, checked when the program is loaded.
//! Plain addresses (`Plain`: from maps, tracepoints, other programs) are read by `bpf_probe_read_kernel`, which
//! cannot fault and takes ten times as long.

mod access;
mod ancestry;
pub(crate) mod current;

use core::marker::PhantomData;

use aya_ebpf::Global;
use cache_ebpf::{InodeKey, ProcessKey, kernel_fields};

pub(crate) use self::{
    access::{Access, Fault, Plain, Read, Typed},
    ancestry::entry_digits,
};

macro_rules! globals {
    ($($global:ident: $structure:literal $member:literal $(| $other:literal)*;)*) => {
        $(#[unsafe(no_mangle)] static $global: Global<u64> = Global::new(0);)*
    };
}
kernel_fields!(globals);

#[unsafe(no_mangle)]
static FILE_COUNT_ONE: Global<u64> = Global::new(0);

const FMODE_WRITE: u32 = 0x2;
const FMODE_CREATED: u32 = 0x0010_0000;
/// `include/linux/fs.h`.
const ATTR_SIZE: u32 = 1 << 3;
const S_IFMT: u32 = 0o170_000;
const S_IFREG: u32 = 0o100_000;
const S_IFDIR: u32 = 0o040_000;
/// `BTRFS_SUPER_MAGIC`, `include/uapi/linux/magic.h`.
const BTRFS_MAGIC: u64 = 0x9123_683e;
/// `BTRFS_FIRST_FREE_OBJECTID`, `include/uapi/linux/btrfs_tree.h`: the top directory of a subvolume, and
/// nothing else there.
const SUBVOLUME_TOP: u64 = 256;

/// A kernel structure: its address, and how it is read.
macro_rules! structure {
    ($(#[$meta:meta])* $name:ident) => {
        $(#[$meta])*
        #[derive(Clone, Copy)]
        pub(crate) struct $name<A: Access = Plain> {
            address: u64,
            access: PhantomData<A>,
        }

        impl<A: Access> $name<A> {
            /// At this address.
            #[inline(always)]
            pub(crate) fn at(address: u64) -> Self {
                Self { address, access: PhantomData }
            }
        }
    };
}

/// What is passed on, by its address.
macro_rules! passed_on {
    ($name:ident) => {
        impl<A: Access> $name<A> {
            /// Its address: tells structures apart while they live.
            #[inline(always)]
            pub(crate) fn address(self) -> u64 {
                self.address
            }

            /// The same, read through its plain address.
            #[inline(always)]
            pub(crate) fn plain(self) -> Read<$name> {
                A::number(self.address).map($name::at)
            }
        }
    };
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

structure!(
    /// A `struct task_struct`.
    Task
);

impl<A: Access> Task<A> {
    #[inline(always)]
    pub(crate) fn tgid(self) -> Read<u32> {
        A::read(self.address, TASK_TGID.load())
    }

    #[inline(always)]
    pub(crate) fn pid(self) -> Read<u32> {
        A::read(self.address, TASK_PID.load())
    }

    /// The process this task belongs to.
    #[inline(always)]
    pub(crate) fn process(self) -> Read<ProcessKey> {
        let leader: u64 = A::read(self.address, TASK_LEADER.load())?;
        Ok(ProcessKey {
            start_ns: A::read(leader, TASK_START.load())?,
            tgid: self.tgid()?,
            pad: 0,
        })
    }

    /// Threads of the process that have not begun to exit.
    #[inline(always)]
    pub(crate) fn live_threads(self) -> Read<u32> {
        let signal: u64 = A::read(self.address, TASK_SIGNAL.load())?;
        A::read(signal, SIGNAL_LIVE.load())
    }
}

structure!(
    /// A `struct file`.
    File
);

impl<A: Access> File<A> {
    /// Tells open file descriptions apart while they live.
    #[inline(always)]
    pub(crate) fn address(self) -> u64 {
        self.address
    }

    #[inline(always)]
    pub(crate) fn mode(self) -> Read<FileMode> {
        A::read(self.address, FILE_MODE.load()).map(FileMode)
    }

    #[inline(always)]
    pub(crate) fn inode(self) -> Read<Inode<A>> {
        A::read(self.address, FILE_INODE.load()).map(Inode::at)
    }

    #[inline(always)]
    pub(crate) fn dentry(self) -> Read<Dentry<A>> {
        A::read(self.address, FILE_DENTRY.load()).map(Dentry::at)
    }

    /// True while one reference exists: closing it now is the last close.
    #[inline(always)]
    pub(crate) fn is_last_reference(self) -> Read<bool> {
        Ok(A::read::<u64>(self.address, FILE_COUNT.load())? == FILE_COUNT_ONE.load())
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

structure!(
    /// A `struct inode`.
    Inode
);
passed_on!(Inode);

impl<A: Access> Inode<A> {
    #[inline(always)]
    pub(crate) fn key(self) -> Read<InodeKey> {
        let (ino, superblock) = A::read_two(self.address, INODE_INO.load(), INODE_SB.load())?;
        Ok(InodeKey {
            ino,
            dev: A::read::<u32>(superblock, SB_DEV.load())?,
            pad: 0,
        })
    }

    /// Address of the superblock.
    #[inline(always)]
    pub(crate) fn superblock(self) -> Read<u64> {
        A::read(self.address, INODE_SB.load())
    }

    /// What tells a reused inode from the one that was there.
    #[inline(always)]
    pub(crate) fn number_and_generation(self) -> Read<(u64, u32)> {
        A::read_two(self.address, INODE_INO.load(), INODE_GENERATION.load())
    }

    #[inline(always)]
    pub(crate) fn device(self) -> Read<u32> {
        let superblock: u64 = A::read(self.address, INODE_SB.load())?;
        A::read(superblock, SB_DEV.load())
    }

    #[inline(always)]
    fn number(self) -> Read<u64> {
        A::read(self.address, INODE_INO.load())
    }

    /// True for the top directory of a btrfs subvolume.
    #[inline(always)]
    pub(crate) fn is_subvolume(self) -> Read<bool> {
        let is_top = self.number()? == SUBVOLUME_TOP;
        Ok(is_top && A::read::<u64>(self.superblock()?, SB_MAGIC.load())? == BTRFS_MAGIC)
    }

    #[inline(always)]
    pub(crate) fn mode(self) -> Read<u32> {
        A::read::<u16>(self.address, INODE_MODE.load()).map(u32::from)
    }

    #[inline(always)]
    pub(crate) fn size(self) -> Read<u64> {
        A::read(self.address, INODE_SIZE.load())
    }

    #[inline(always)]
    pub(crate) fn nlink(self) -> Read<u32> {
        A::read(self.address, INODE_NLINK.load())
    }

    #[inline(always)]
    pub(crate) fn generation(self) -> Read<u32> {
        A::read(self.address, INODE_GENERATION.load())
    }

    /// Open file descriptions that can write.
    #[inline(always)]
    pub(crate) fn writers(self) -> Read<i32> {
        A::read(self.address, INODE_WRITECOUNT.load())
    }
}

impl Inode {
    /// True while the memory still holds this very inode: it may have been freed meanwhile.
    #[inline(always)]
    pub(crate) fn is(self, key: &InodeKey, generation: u32) -> bool {
        self.number_and_generation()
            .is_ok_and(|found| found == (key.ino, generation))
            && self.device().is_ok_and(|dev| dev == key.dev)
    }

    /// The first name that leads to it in the dentry cache: unhashed dentries (deleted names,
    /// `O_TMPFILE`) do not count.
    #[inline(always)]
    pub(crate) fn name(self) -> Read<Option<Dentry>> {
        let mut link: u64 = Plain::read(self.address, INODE_ALIASES.load())?;
        for _ in 0..8 {
            if link == 0 {
                return Ok(None);
            }
            let dentry = link.wrapping_sub(DENTRY_ALIAS.load());
            if Plain::read::<u64>(dentry, DENTRY_HASHED.load())? != 0 {
                return Ok(Some(Dentry::at(dentry)));
            }
            link = Plain::read(link, 0)?;
        }
        Ok(None)
    }

    /// Any dentry, hashed or not: the directory's own one for a directory.
    #[inline(always)]
    pub(crate) fn any_dentry(self) -> Read<Option<Dentry>> {
        let link: u64 = Plain::read(self.address, INODE_ALIASES.load())?;
        Ok(if link == 0 {
            None
        } else {
            Some(Dentry::at(link.wrapping_sub(DENTRY_ALIAS.load())))
        })
    }
}

structure!(
    /// A `struct dentry`.
    Dentry
);
passed_on!(Dentry);

impl<A: Access> Dentry<A> {
    #[inline(always)]
    pub(crate) fn parent(self) -> Read<Self> {
        A::read(self.address, DENTRY_PARENT.load()).map(Self::at)
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
    pub(crate) fn inode(self) -> Read<Option<Inode<A>>> {
        let inode: u64 = A::read(self.address, DENTRY_INODE.load())?;
        Ok(if inode == 0 {
            None
        } else {
            Some(Inode::at(inode))
        })
    }

    /// Address of its name, which ends with NUL.
    #[inline(always)]
    pub(crate) fn name(self) -> Read<u64> {
        A::read(self.address, DENTRY_NAME.load())
    }
}

structure!(
    /// A `struct iattr`: what is to be changed of an inode.
    Attributes
);

impl<A: Access> Attributes<A> {
    /// The size is to be set.
    #[inline(always)]
    pub(crate) fn set_size(self) -> Read<bool> {
        Ok(A::read::<u32>(self.address, IATTR_VALID.load())? & ATTR_SIZE != 0)
    }
}

structure!(
    /// A `struct renamedata`: a rename under way.
    Renaming
);

impl<A: Access> Renaming<A> {
    /// The name it has.
    #[inline(always)]
    pub(crate) fn from(self) -> Read<Dentry<A>> {
        A::read(self.address, RENAME_OLD.load()).map(Dentry::at)
    }

    /// The name it is to have.
    #[inline(always)]
    pub(crate) fn to(self) -> Read<Dentry<A>> {
        A::read(self.address, RENAME_NEW.load()).map(Dentry::at)
    }
}
