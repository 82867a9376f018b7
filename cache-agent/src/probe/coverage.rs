//! Which operations the attached hooks observe: stated, never implied.

use anyhow::{Context as _, Result};

use crate::snapshot::Observation;

/// One hook.
#[derive(Clone, Copy, Debug)]
pub struct Hook {
    /// Program of the kernel object.
    pub program: &'static str,
    /// What it attaches to.
    pub tracepoint: &'static str,
}

/// Operations and the programs each needs. An operation is observed when all of its programs are attached.
const OPERATIONS: [(&str, &[&str]); 12] = [
    ("open", &["exit_open", "enter_close"]),
    ("write", &["exit_open", "enter_close"]),
    ("mmap", &["exit_open", "enter_close"]),
    ("close", &["enter_close", "enter_dup"]),
    ("exit_without_close", &["process_exit", "process_exec"]),
    (
        "truncate",
        &["enter_truncate", "exit_pending", "status_change"],
    ),
    ("ftruncate", &["enter_resize", "exit_pending"]),
    ("fallocate", &["enter_resize", "exit_pending"]),
    ("unlink", &["enter_unlink", "exit_pending", "status_change"]),
    ("rename", &["enter_rename", "exit_pending", "status_change"]),
    ("link", &["enter_link", "exit_pending", "status_change"]),
    ("fork", &["process_fork"]),
];

/// What system call tracepoints cannot see on any kernel: the next walk puts the totals right.
const UNSEEN: [&str; 3] = ["io_uring", "compat_32bit", "kernel_threads"];

/// Programs the agent cannot do without: nothing would be counted.
const ESSENTIAL: [&str; 2] = ["exit_open", "enter_close"];

/// Which programs are attached.
#[derive(Debug, Default)]
pub struct Coverage {
    refused: Vec<(Hook, String)>,
}

impl Coverage {
    /// Notes whether `hook` could be attached; an error if nothing could be counted without it.
    pub fn note(&mut self, hook: Hook, outcome: Result<()>) -> Result<()> {
        let Err(error) = outcome else { return Ok(()) };
        if ESSENTIAL.contains(&hook.program) {
            return Err(error).with_context(|| {
                format!(
                    "the tracepoint backend, the only one there is, cannot attach {} to {}; kernel 6.1 or newer with system call tracepoints is needed",
                    hook.program, hook.tracepoint
                )
            });
        }
        tracing::debug!(
            hook.program,
            hook.tracepoint,
            error = format!("{error:#}"),
            "hook refused"
        );
        let reason = first_line(&format!("{error:#}"));
        self.refused.push((hook, reason));
        Ok(())
    }

    /// One sentence per hook that could not be attached.
    pub fn degraded(&self) -> Vec<String> {
        let sentence = |(hook, reason): &(Hook, String)| {
            format!(
                "hook {} on {} is missing: {reason}",
                hook.program, hook.tracepoint
            )
        };
        self.refused.iter().map(sentence).collect()
    }

    /// Every operation and how well it is observed.
    pub fn operations(&self) -> Vec<(&'static str, Observation)> {
        let refused = |program: &&str| {
            self.refused
                .iter()
                .any(|(hook, _)| hook.program == *program)
        };
        let state = |programs: &[&str]| {
            if programs.iter().any(refused) {
                Observation::Unattributed
            } else {
                Observation::Observed
            }
        };
        let known = OPERATIONS
            .iter()
            .map(|(operation, programs)| (*operation, state(programs)));
        known
            .chain(UNSEEN.map(|operation| (operation, Observation::Unattributed)))
            .collect()
    }
}

fn first_line(text: &str) -> String {
    text.lines()
        .next()
        .unwrap_or_default()
        .chars()
        .take(200)
        .collect()
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;

    use super::*;

    #[test]
    fn a_missing_hook_shows_in_the_operations_that_need_it() {
        let mut coverage = Coverage::default();
        coverage
            .note(
                Hook {
                    program: "status_change",
                    tracepoint: "ctime_xchg_skip",
                },
                Err(anyhow!("no such event")),
            )
            .unwrap();
        let of = |name| {
            coverage
                .operations()
                .into_iter()
                .find(|(operation, _)| *operation == name)
                .map(|(_, state)| state)
        };
        assert_eq!(of("unlink"), Some(Observation::Unattributed));
        assert_eq!(of("write"), Some(Observation::Observed));
        assert_eq!(of("io_uring"), Some(Observation::Unattributed));
        assert_eq!(coverage.degraded().len(), 1);
    }

    #[test]
    fn without_the_open_hook_there_is_no_agent() {
        let hook = Hook {
            program: "exit_open",
            tracepoint: "sys_exit_openat",
        };
        assert!(
            Coverage::default()
                .note(hook, Err(anyhow!("refused")))
                .is_err()
        );
    }
}
