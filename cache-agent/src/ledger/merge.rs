//! What the disk held at one moment, although it changed while it was walked: files that changed during
//! the walk count with the last size the kernel told of them, all others with what the walk saw.

use cache_ebpf::InodeKey;

use super::{
    root::{Base, Recorder},
    walk::Walk,
};
use crate::model::changes::Changes;

/// Joins a walk and the changes recorded while it ran.
pub fn cut(walk: &Walk, device: u32, recorder: &Recorder, total: Changes) -> Base {
    let is_untouched = |ino: u64| {
        !recorder.contains_key(&InodeKey {
            ino,
            dev: device,
            pad: 0,
        })
    };
    let mut base = Base {
        disk_bytes: walk.disk_bytes,
        total,
        ..Base::default()
    };
    for file in walk.files.iter().filter(|file| is_untouched(file.ino)) {
        base.bytes += file.size;
        base.files += 1;
    }
    for size in recorder.values().flatten() {
        base.bytes += size;
        base.files += 1;
    }
    base
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::walk::WalkedFile;

    #[test]
    fn a_changed_file_counts_once_with_its_last_size() {
        let file = |ino, size| WalkedFile {
            ino,
            size,
            directory: 1,
        };
        let walk = Walk {
            files: vec![file(1, 10), file(2, 20), file(3, 30)],
            ..Walk::default()
        };
        let key = |ino| InodeKey {
            ino,
            dev: 7,
            pad: 0,
        };
        let recorder = Recorder::from([(key(2), Some(25)), (key(3), None), (key(4), Some(0))]);
        let base = cut(&walk, 7, &recorder, Changes::default());
        assert_eq!((base.bytes, base.files), (35, 3));
    }
}
