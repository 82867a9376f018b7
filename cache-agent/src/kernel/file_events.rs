//! Events out of the ring.

use cache_ebpf::{
    APPEARANCES, DEPARTURES, EVENT_IN_COMMAND, EVENT_PATH_CUT, Event, OPERATION_CREATE,
    OPERATION_DIRECTORY_ENTER, OPERATION_DIRECTORY_GONE, OPERATION_DIRECTORY_LEAVE,
    OPERATION_DIRECTORY_MOVE, OPERATION_DIRECTORY_PLACE, OPERATION_ENTER, OPERATION_LEAVE,
    OPERATION_LINK, OPERATION_RENAME, OPERATION_REPLACE, OPERATION_RESIZE, OPERATION_UNLINK,
    OPERATION_VANISH, OPERATION_WRITE,
};

use crate::model::{changes::Changes, printable::printable};

/// An event with its path.
#[derive(Clone, Debug)]
pub struct Fact {
    /// What happened.
    pub event: Event,
    /// Names as the kernel told them; empty where events carry no paths.
    names: Vec<u8>,
}

impl Fact {
    /// Decodes one record; `None` if it is too short to be one.
    pub fn decode(record: &[u8]) -> Option<Self> {
        let (head, rest) = record.split_at_checked(size_of::<Event>())?;
        let event: Event = bytemuck::pod_read_unaligned(head);
        let length = usize::try_from(event.path_len).ok()?.min(rest.len());
        let names = rest.get(..length).unwrap_or_default().to_vec();
        Some(Self { event, names })
    }

    /// Path relative to the root, made printable; `None` where events carry no paths.
    pub fn path(&self) -> Option<String> {
        let cut = self.event.flags & EVENT_PATH_CUT != 0;
        (!self.names.is_empty()).then(|| join(&self.names, cut))
    }

    /// The same, byte for byte, for those who open it.
    pub fn raw_path(&self) -> Vec<u8> {
        let names = self.names.strip_suffix(b"\0").unwrap_or(&self.names);
        let mut components: Vec<&[u8]> = names.split(|byte| *byte == 0).collect();
        components.reverse();
        components.join(&b'/')
    }

    /// What it changed in its root.
    pub fn changes(&self) -> Changes {
        let growth_bytes = self.size_change();
        // As the kernel side counts in `account::untold`.
        let count = |operations: &[u32]| u64::from(operations.contains(&self.event.operation));
        Changes {
            growth_bytes,
            freed_bytes: growth_bytes.min(0).unsigned_abs(),
            files_created: count(&APPEARANCES),
            files_deleted: count(&DEPARTURES),
            files_renamed: count(&[OPERATION_RENAME]),
        }
    }

    /// The credited process descends from the traced command.
    pub fn in_command(&self) -> bool {
        self.event.flags & EVENT_IN_COMMAND != 0
    }

    /// Word for the operation, as in `--events`.
    pub fn operation(&self) -> &'static str {
        operation(self.event.operation)
    }

    /// Change of the root's size in bytes.
    pub fn size_change(&self) -> i64 {
        self.event
            .after
            .wrapping_sub(self.event.before)
            .cast_signed()
    }
}

/// Word for an operation.
pub fn operation(number: u32) -> &'static str {
    match number {
        OPERATION_CREATE => "create",
        OPERATION_WRITE => "write",
        OPERATION_RESIZE => "resize",
        OPERATION_UNLINK => "unlink",
        OPERATION_RENAME => "rename",
        OPERATION_ENTER => "enter",
        OPERATION_LEAVE => "leave",
        OPERATION_REPLACE => "replace",
        OPERATION_LINK => "link",
        OPERATION_DIRECTORY_ENTER => "enter-directory",
        OPERATION_DIRECTORY_LEAVE => "leave-directory",
        OPERATION_VANISH => "vanish",
        OPERATION_DIRECTORY_MOVE => "move-directory",
        OPERATION_DIRECTORY_GONE => "remove-directory",
        OPERATION_DIRECTORY_PLACE => "find-directory",
        _ => "unknown",
    }
}

/// The kernel tells names last component first, each ended by NUL.
fn join(names: &[u8], cut: bool) -> String {
    let names = names.strip_suffix(b"\0").unwrap_or(names);
    let mut components: Vec<String> = names.split(|byte| *byte == 0).map(printable).collect();
    if cut {
        components.push("...".to_owned());
    }
    components.reverse();
    components.join("/")
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    #[test]
    fn names_are_joined_and_made_printable() {
        for (names, cut, expected) in [
            (&b"f-a\0ab\0"[..], false, "ab/f-a"),
            (b"f\0", true, ".../f"),
            (b"\x1b[31m\0", false, "\\u{1b}[31m"),
        ] {
            assert_eq!(join(names, cut), expected);
        }
    }

    #[test]
    fn short_records_are_no_events() {
        assert!(Fact::decode(&[0; 20]).is_none());
        assert!(Fact::decode(&[0; size_of::<Event>()]).is_some());
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(512) })]

        #[test]
        fn any_record_is_a_fact_or_none(record in vec(any::<u8>(), 0..300)) {
            let fact = Fact::decode(&record);
            prop_assert_eq!(fact.is_some(), record.len() >= size_of::<Event>());
            if let Some(fact) = fact {
                let shown = fact.path().unwrap_or_default();
                prop_assert!(!shown.chars().any(char::is_control));
                prop_assert!(fact.raw_path().len() <= record.len());
                prop_assert_eq!(fact.changes().growth_bytes, fact.size_change());
                fact.operation();
            }
        }

        #[test]
        fn a_fact_says_what_the_record_was_made_of(
            (before, after, operation, root) in any::<(u64, u64, u32, u32)>(),
            names in vec(vec(1..=u8::MAX, 1..20), 0..6),
            beyond in vec(any::<u8>(), 0..9),
        ) {
            let mut told = Vec::new();
            for name in names.iter().rev() {
                told.extend(name);
                told.push(0);
            }
            let event = Event {
                before,
                after,
                operation,
                root,
                path_len: u32::try_from(told.len()).unwrap(),
                ..bytemuck::Zeroable::zeroed()
            };
            // The ring rounds records up.
            let record = [bytemuck::bytes_of(&event), &told, &beyond].concat();
            let fact = Fact::decode(&record).unwrap();
            prop_assert_eq!(fact.event, event);
            prop_assert_eq!(fact.raw_path(), names.join(&b'/'));
            prop_assert_eq!(fact.path().is_some(), !names.is_empty());
            prop_assert_eq!(before.wrapping_add_signed(fact.size_change()), after);
        }
    }
}
