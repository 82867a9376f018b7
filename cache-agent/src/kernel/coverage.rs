//! Which operations the attached hooks observe: stated, never implied.

use anyhow::{Context as _, Result};

use super::hooks::Backend;
use crate::model::operation::Observation;

/// One hook.
#[derive(Clone, Copy, Debug)]
pub struct Hook {
    /// Program of the kernel object.
    pub program: &'static str,
    /// Tracepoint or function that it attaches to.
    pub target: &'static str,
}

impl Hook {
    /// Nothing would be counted without it.
    pub fn is_essential(&self) -> bool {
        ESSENTIAL.contains(&self.program)
    }
}

/// Operations and the programs each needs. An operation is observed when all of its programs are attached.
type Needs = &'static [(&'static str, &'static [&'static str])];

const FENTRY: Needs = &[
    ("open", &["file_open", "file_release"]),
    ("write", &["file_open", "file_release"]),
    ("mmap", &["file_open", "file_release"]),
    ("close", &["file_release"]),
    ("exit_without_close", &["file_release"]),
    ("truncate", &["resize_entry", "resize_exit"]),
    ("ftruncate", &["resize_entry", "resize_exit"]),
    ("fallocate", &["fallocate_entry", "fallocate_exit"]),
    ("unlink", &["unlink_entry", "unlink_exit"]),
    (
        "rename",
        &["rename_entry", "rename_exit", "rmdir_entry", "rmdir_exit"],
    ),
    ("link", &["link_entry", "link_exit"]),
    ("fork", &["process_fork"]),
    ("io_uring", &["file_open", "file_release"]),
    ("compat_32bit", &["file_open", "file_release"]),
    (
        "kernel_threads",
        &["file_open", "file_release", "create_exit"],
    ),
];

const TRACEPOINT: Needs = &[
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
const UNSEEN_BY_TRACEPOINTS: [&str; 3] = ["io_uring", "compat_32bit", "kernel_threads"];

/// Programs a backend cannot do without.
const ESSENTIAL: [&str; 4] = ["file_open", "file_release", "exit_open", "enter_close"];

/// Which programs are attached.
#[derive(Debug)]
pub struct Coverage {
    backend: Backend,
    refused: Vec<(Hook, String)>,
}

impl Coverage {
    /// Of a backend with all its hooks.
    pub fn new(backend: Backend) -> Self {
        Self {
            backend,
            refused: Vec::new(),
        }
    }

    /// Notes whether `hook` could be attached; an error if nothing could be counted without it.
    pub fn note(&mut self, hook: Hook, outcome: Result<()>) -> Result<()> {
        let Err(error) = outcome else { return Ok(()) };
        if hook.is_essential() {
            return Err(error).with_context(|| {
                format!(
                    "the {} backend cannot attach {} to {}",
                    self.backend.as_str(),
                    hook.program,
                    hook.target
                )
            });
        }
        tracing::debug!(
            hook.program,
            hook.target,
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
                hook.program, hook.target
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
        let (needs, unseen) = match self.backend {
            Backend::Fentry => (FENTRY, &[][..]),
            Backend::Tracepoint => (TRACEPOINT, &UNSEEN_BY_TRACEPOINTS[..]),
        };
        let known = needs
            .iter()
            .map(|(operation, programs)| (*operation, state(programs)));
        let unseen = unseen
            .iter()
            .map(|operation| (*operation, Observation::Unattributed));
        known.chain(unseen).collect()
    }

    /// True where all programs that an operation needs are attached.
    pub fn observes(&self, operation: &str) -> bool {
        self.operations()
            .contains(&(operation, Observation::Observed))
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
        let mut coverage = Coverage::new(Backend::Tracepoint);
        coverage
            .note(
                Hook {
                    program: "status_change",
                    target: "ctime_xchg_skip",
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
            target: "sys_exit_openat",
        };
        assert!(
            Coverage::new(Backend::Tracepoint)
                .note(hook, Err(anyhow!("refused")))
                .is_err()
        );
    }
}
