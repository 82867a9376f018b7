//! File system rights of who is observed, for as long as his files are read.

use nix::unistd::{Gid, Uid, setfsgid, setfsuid};

/// File system rights of somebody else, given back when dropped. They belong to the thread.
pub(crate) struct Rights {
    uid: Uid,
    gid: Gid,
}

impl Rights {
    /// The calling thread sees what this user may see.
    pub(crate) fn of(uid: u32, gid: u32) -> Self {
        let gid = setfsgid(Gid::from_raw(gid));
        let uid = setfsuid(Uid::from_raw(uid));
        Self { uid, gid }
    }
}

impl Drop for Rights {
    fn drop(&mut self) {
        setfsuid(self.uid);
        setfsgid(self.gid);
    }
}
