//! File system rights of who is observed, for as long as his files are read.

use std::sync::Once;

use nix::unistd::{Gid, Uid, setfsgid, setfsuid};
use rustix::thread::{CapabilitySet, capabilities, set_capabilities};

/// No user and no group has this number: to ask for it changes nothing, and tells what is.
const NOBODY: u32 = u32::MAX;

/// File system rights of somebody else, given back when dropped. They belong to the thread.
pub(crate) struct Rights {
    uid: Uid,
    gid: Gid,
}

impl Rights {
    /// The calling thread sees what this user may see; `None` where it cannot be made to, which is logged once, and
    /// where nothing of his may be read: root's own rights would show what he may not see.
    pub(crate) fn of(uid: u32, gid: u32) -> Option<Self> {
        /// That nothing can be read is told once.
        static TOLD: Once = Once::new();
        let before = Self {
            gid: setfsgid(Gid::from_raw(gid)),
            uid: setfsuid(Uid::from_raw(uid)),
        };
        let now = (
            setfsuid(Uid::from_raw(NOBODY)).as_raw(),
            setfsgid(Gid::from_raw(NOBODY)).as_raw(),
        );
        if now == (uid, gid) {
            return Some(before);
        }
        TOLD.call_once(|| {
            tracing::warn!(
                uid,
                "no CAP_SETUID and CAP_SETGID: what users have in go.mod and `go env -w` is not read"
            );
        });
        None
    }
}

impl Drop for Rights {
    fn drop(&mut self) {
        setfsuid(self.uid);
        setfsgid(self.gid);
    }
}

/// The calling thread, and those that it starts, can take on nobody's rights from now on.
pub(crate) fn renounce() {
    let changed = capabilities(None).and_then(|mut sets| {
        let becoming = CapabilitySet::SETUID | CapabilitySet::SETGID;
        sets.effective.remove(becoming);
        sets.permitted.remove(becoming);
        sets.inheritable.remove(becoming);
        set_capabilities(None, sets)
    });
    if let Err(error) = changed {
        tracing::warn!(%error, "a thread keeps CAP_SETUID and CAP_SETGID");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> (u32, u32) {
        (
            setfsuid(Uid::from_raw(NOBODY)).as_raw(),
            setfsgid(Gid::from_raw(NOBODY)).as_raw(),
        )
    }

    #[test]
    fn rights_are_taken_and_given_back_or_there_are_none() {
        // Capabilities and these rights belong to a thread.
        let thread = std::thread::spawn(|| {
            let own = now();
            let may_become = capabilities(None).is_ok_and(|sets| {
                let becoming = CapabilitySet::SETUID | CapabilitySet::SETGID;
                sets.effective.contains(becoming)
            });
            let rights = Rights::of(4711, 4712);
            assert_eq!(rights.is_some(), may_become);
            assert_eq!(now(), if may_become { (4711, 4712) } else { own });
            drop(rights);
            assert_eq!(now(), own);
            renounce();
            assert!(Rights::of(own.0, own.1).is_some());
            assert!(Rights::of(4711, 4712).is_none());
            assert_eq!(now(), own);
        });
        thread.join().unwrap();
    }
}
