//! Process events out of their ring.

use cache_ebpf::ancestry::{
    LINEAGE_ARGV_CUT, LINEAGE_ENV_CUT, LINEAGE_IN_COMMAND, PROCESS_EXEC, PROCESS_EXIT,
    PROCESS_FORK, ProcessEvent,
};

use crate::model::process::{arguments, text};

/// What a process did.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// It began.
    Fork,
    /// It executes a program.
    Exec,
    /// It ended.
    Exit,
}

/// One step of a process that descends from a tool.
///
/// The environment is borrowed from the ring: what is not on the allow-list is never copied.
#[derive(Clone, Copy, Debug)]
pub struct Step<'a> {
    /// Which step.
    pub kind: Kind,
    /// Who and when.
    pub event: ProcessEvent,
    argv: &'a [u8],
    /// Environment strings, each ended by NUL; those cut off are left out.
    pub environment: &'a [u8],
}

impl<'a> Step<'a> {
    /// Decodes one record; `None` if it is too short to be one, or of an unknown kind.
    pub fn decode(record: &'a [u8]) -> Option<Self> {
        let (head, rest) = record.split_at_checked(size_of::<ProcessEvent>())?;
        let event: ProcessEvent = bytemuck::pod_read_unaligned(head);
        let kind = match event.kind {
            PROCESS_FORK => Kind::Fork,
            PROCESS_EXEC => Kind::Exec,
            PROCESS_EXIT => Kind::Exit,
            _ => return None,
        };
        let length = |bytes: u32| usize::try_from(bytes).unwrap_or(usize::MAX);
        let (argv, rest) = rest.split_at_checked(length(event.argv_len))?;
        let environment = rest.get(..length(event.env_len))?;
        let is_cut = event.flags & LINEAGE_ENV_CUT != 0;
        Some(Self {
            kind,
            event,
            argv,
            environment: if is_cut {
                after_nul(environment)
            } else {
                environment
            },
        })
    }

    /// Arguments; the last one may be cut.
    pub fn argv(&self) -> Vec<String> {
        arguments(self.argv)
    }

    /// Command name.
    pub fn comm(&self) -> String {
        text(&self.event.comm)
    }

    /// There were more arguments.
    pub fn is_argv_cut(&self) -> bool {
        self.event.flags & LINEAGE_ARGV_CUT != 0
    }

    /// There was more environment.
    pub fn is_environment_cut(&self) -> bool {
        self.event.flags & LINEAGE_ENV_CUT != 0
    }

    /// It descends from the traced command.
    pub fn is_in_command(&self) -> bool {
        self.event.flags & LINEAGE_IN_COMMAND != 0
    }
}

/// What follows the first string, which is not whole.
fn after_nul(strings: &[u8]) -> &[u8] {
    let end = strings.iter().position(|byte| *byte == 0);
    end.and_then(|end| strings.get(end + 1..))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    fn record(kind: u32, flags: u32, argv: &[u8], environment: &[u8]) -> Vec<u8> {
        let event = ProcessEvent {
            kind,
            flags,
            argv_len: u32::try_from(argv.len()).unwrap(),
            env_len: u32::try_from(environment.len()).unwrap(),
            ..bytemuck::Zeroable::zeroed()
        };
        [bytemuck::bytes_of(&event), argv, environment].concat()
    }

    #[test]
    fn strings_follow_the_event() {
        let record = record(PROCESS_EXEC, 0, b"go\0build\0", b"A=1\0B=2\0");
        let step = Step::decode(&record).unwrap();
        assert_eq!(step.argv(), ["go", "build"]);
        assert_eq!(step.environment, b"A=1\0B=2\0");
    }

    #[test]
    fn a_string_cut_at_its_beginning_is_left_out() {
        let record = record(PROCESS_EXEC, LINEAGE_ENV_CUT, b"", b"ET=x\0B=2\0");
        assert_eq!(Step::decode(&record).unwrap().environment, b"B=2\0");
    }

    #[test]
    fn what_is_too_short_is_no_step() {
        let whole = record(PROCESS_EXEC, 0, b"go\0", b"A=1\0");
        for length in 0..whole.len() {
            assert!(Step::decode(&whole[..length]).is_none(), "{length}");
        }
        assert!(Step::decode(&record(9, 0, b"", b"")).is_none());
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(512) })]

        #[test]
        fn any_record_is_a_step_or_none(
            kind in 0..5u32,
            lengths in (0..100u32, 0..100u32),
            flags in any::<u32>(),
            strings in vec(any::<u8>(), 0..150),
        ) {
            let event = ProcessEvent {
                kind,
                flags,
                argv_len: lengths.0,
                env_len: lengths.1,
                ..bytemuck::Zeroable::zeroed()
            };
            let record = [bytemuck::bytes_of(&event), &strings].concat();
            let step = Step::decode(&record);
            let holds_all = (lengths.0 + lengths.1) as usize <= strings.len();
            prop_assert_eq!(step.is_some(), (1..=3).contains(&kind) && holds_all);
            if let Some(step) = step {
                prop_assert!(step.environment.len() <= lengths.1 as usize);
                step.argv();
                step.comm();
            }
        }

        #[test]
        fn a_step_says_what_the_record_was_made_of(
            argv in vec("[^\0]{1,12}", 0..6),
            environment in vec("[A-Z]{1,5}=[^\0]{0,9}", 0..6),
            is_cut in any::<bool>(),
        ) {
            let strings = |words: &[String]| words.iter().fold(String::new(), |all, word| all + word + "\0");
            let told = strings(&environment);
            let cut = if is_cut { format!("of one=\0{told}") } else { told.clone() };
            let flags = if is_cut { LINEAGE_ENV_CUT } else { 0 };
            let record = record(PROCESS_EXEC, flags, strings(&argv).as_bytes(), cut.as_bytes());
            let step = Step::decode(&record).unwrap();
            prop_assert_eq!(step.argv(), argv);
            prop_assert_eq!(step.environment, told.as_bytes());
            prop_assert_eq!(step.is_environment_cut(), is_cut);
        }
    }
}
