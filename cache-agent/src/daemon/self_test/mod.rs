//! The agent proves itself: now and then it changes a tiny file of its own in every way it knows, and compares
//! what the ledger says of it, to the byte.
//!
//! Takes: the state directory, the ledger. Gives: which operations the figures proved, and which they did not.
//! Never: leaves its own directory, follows a link, or shows among the roots.

mod compare;
mod directory;
mod operations;

use std::{
    collections::BTreeSet,
    time::{Duration, Instant, SystemTime},
};

use anyhow::Result;

use self::{compare::Comparison, directory::TestDirectory};
use super::state_directory::StateDirectory;
use crate::{
    kernel::kernel_side::KernelSide, ledger::Ledger, model::operation::Observation, snapshot::Proof,
};

/// What a run found out.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Findings {
    /// Operations whose figures were right.
    pub proved: BTreeSet<&'static str>,
    /// Operations whose figures were not; each is in this set only.
    pub differing: BTreeSet<&'static str>,
}

impl Findings {
    fn note(&mut self, operation: &'static str, is_right: bool) {
        if !is_right {
            self.proved.remove(operation);
            self.differing.insert(operation);
        } else if !self.differing.contains(operation) {
            self.proved.insert(operation);
        }
    }

    /// Why the agent is degraded, if it is.
    fn sentence(&self) -> Option<String> {
        let names: Vec<&str> = self.differing.iter().copied().collect();
        let list = names.join(", ");
        (!names.is_empty()).then(|| format!("the canary's figures differ after: {list}"))
    }
}

/// The self-test.
#[derive(Debug)]
pub(super) struct SelfTest {
    interval: Option<Duration>,
    directory: Option<TestDirectory>,
    next: Instant,
    findings: Findings,
    proved_at: Option<SystemTime>,
    /// Why it could not run, told once.
    trouble: Option<String>,
}

impl SelfTest {
    /// A self-test that has not run yet.
    pub(super) fn new() -> Self {
        Self {
            interval: None,
            directory: None,
            next: Instant::now(),
            findings: Findings::default(),
            proved_at: None,
            trouble: None,
        }
    }

    /// Switches it on or off, or to another pace; where it has no place it says so once.
    pub(super) fn set(
        &mut self,
        interval: Option<Duration>,
        state: Option<&StateDirectory>,
        ledger: &mut Ledger<impl KernelSide>,
    ) {
        self.next = Instant::now();
        self.interval = interval;
        if interval.is_none() {
            self.free(ledger);
            self.findings = Findings::default();
            tracing::info!("the canary is off; coverage is what the hooks say");
        } else if self.directory.is_none()
            && let Some(state) = state
        {
            match TestDirectory::open(state, ledger) {
                Ok(directory) => self.directory = Some(directory),
                Err(error) => self.complain(&format!("{error:#}")),
            }
        }
    }

    /// Gives its directory back: another one takes its place, or none.
    pub(super) fn free(&mut self, ledger: &mut Ledger<impl KernelSide>) {
        if let Some(directory) = self.directory.take() {
            directory.close(ledger);
        }
    }

    /// True where it is to run and has no place.
    pub(super) fn lacks_directory(&self) -> bool {
        self.interval.is_some() && self.directory.is_none()
    }

    /// When it runs next, if it can.
    pub(super) fn due(&self) -> Option<Instant> {
        self.interval
            .filter(|_| self.directory.is_some())
            .map(|_| self.next)
    }

    /// Runs if it is time; true if it did.
    pub(super) fn run_if_due(&mut self, ledger: &mut Ledger<impl KernelSide>) -> Result<bool> {
        let now = Instant::now();
        let (Some(interval), Some(directory)) = (self.interval, &self.directory) else {
            return Ok(false);
        };
        if now < self.next {
            return Ok(false);
        }
        self.next = now + interval;
        let mut comparison = Comparison::start(ledger, directory)?;
        let outcome = operations::perform(directory.directory(), &mut comparison);
        let findings = comparison.finish()?;
        match outcome {
            Ok(()) => self.judge(findings),
            Err(error) => self.complain(&format!("{error:#}")),
        }
        Ok(true)
    }

    /// Told when it changes.
    fn judge(&mut self, findings: Findings) {
        self.trouble = None;
        match findings.sentence() {
            None => {
                if self.findings.sentence().is_some() || self.proved_at.is_none() {
                    tracing::info!(
                        proved = findings.proved.len(),
                        "the canary's figures are right"
                    );
                }
                self.proved_at = Some(SystemTime::now());
            }
            sentence if sentence != self.findings.sentence() => {
                tracing::warn!(reason = sentence, "degraded");
            }
            Some(_) => {}
        }
        self.findings = findings;
    }

    fn complain(&mut self, trouble: &str) {
        if self.trouble.as_deref() != Some(trouble) {
            tracing::warn!(
                reason = trouble,
                "the canary cannot run; coverage is not proved anew"
            );
            self.trouble = Some(trouble.to_owned());
        }
    }

    /// Why the agent is degraded, if it is.
    pub(super) fn degraded(&self) -> Option<String> {
        self.findings.sentence()
    }

    /// What is proved, and since when.
    pub(super) fn proof(&self) -> Option<Proof> {
        self.interval.map(|_| Proof {
            proved_at: self.proved_at,
            operations: self.findings.proved.iter().copied().collect(),
        })
    }

    /// Coverage as the hooks say, less what the last run disproved.
    pub(super) fn corrected(
        &self,
        mut coverage: Vec<(&'static str, Observation)>,
    ) -> Vec<(&'static str, Observation)> {
        for (operation, observation) in &mut coverage {
            let is_disproved = self.findings.differing.contains(operation);
            if is_disproved && *observation == Observation::Observed {
                *observation = Observation::Unattributed;
            }
        }
        coverage
    }
}

impl Default for SelfTest {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use cache_ebpf::OPERATION_RENAME;

    use super::*;
    use crate::{
        daemon::testbed::Testbed,
        kernel::{fake::FakeKernel, hooks::Backend},
        snapshot::Reason,
    };

    fn findings(notes: &[(&'static str, bool)]) -> Findings {
        let mut findings = Findings::default();
        for (operation, is_right) in notes {
            findings.note(operation, *is_right);
        }
        findings
    }

    #[test]
    fn one_wrong_figure_disproves_an_operation() {
        let found = findings(&[
            ("open", true),
            ("write", true),
            ("write", false),
            ("write", true),
        ]);
        assert_eq!(found.proved, ["open"].into());
        assert_eq!(found.differing, ["write"].into());
        let sentence = found.sentence();
        assert_eq!(
            sentence.as_deref(),
            Some("the canary's figures differ after: write")
        );
        assert_eq!(findings(&[("open", true)]).sentence(), None);
    }

    #[test]
    fn coverage_is_never_better_than_what_was_proved() {
        let canary = SelfTest {
            findings: findings(&[("open", true), ("write", false), ("link", false)]),
            ..SelfTest::new()
        };
        let hooks = vec![
            ("open", Observation::Observed),
            ("write", Observation::Observed),
            ("link", Observation::Unattributed),
            ("io_uring", Observation::Unattributed),
        ];
        let states: Vec<_> = canary
            .corrected(hooks)
            .iter()
            .map(|(_, state)| *state)
            .collect();
        let expected = [
            Observation::Observed,
            Observation::Unattributed,
            Observation::Unattributed,
            Observation::Unattributed,
        ];
        assert_eq!(states, expected);
    }

    /// Runs at every look.
    fn testbed() -> Testbed {
        let kernel = FakeKernel::new(Backend::Tracepoint);
        let mut testbed = Testbed::with(kernel, |config| {
            config.self_test.interval = Some(Duration::ZERO);
        });
        testbed.event_loop.run_self_test().unwrap();
        testbed
    }

    #[test]
    fn a_run_proves_every_operation_it_does_and_leaves_no_trace() {
        let mut testbed = testbed();
        let snapshot = testbed.look();
        let proof = snapshot.canary.unwrap();
        assert!(proof.proved_at.is_some());
        let mut expected = vec![
            "close",
            "fallocate",
            "ftruncate",
            "link",
            "mmap",
            "open",
            "rename",
            "truncate",
            "unlink",
            "write",
        ];
        // Not every file system can allocate.
        expected
            .retain(|operation| *operation != "fallocate" || proof.operations.contains(operation));
        assert_eq!(proof.operations, expected);
        assert!(snapshot.degraded.is_empty());
        assert_eq!((snapshot.roots.len(), snapshot.maps[1].entries), (1, 0));
        // Nobody's accounts of both directories, and no other.
        assert_eq!(snapshot.maps[0].entries, 2);
        let left = std::fs::read_dir(testbed.path("state/canary")).unwrap();
        assert_eq!(left.count(), 0);
    }

    #[test]
    fn an_operation_that_the_figures_miss_is_not_called_observed_until_a_run_is_right_again() {
        let mut testbed = testbed();
        testbed.kernel.go_blind_to(Some(OPERATION_RENAME));
        testbed.event_loop.run_self_test().unwrap();
        let snapshot = testbed.look();
        assert_eq!(snapshot.degraded[0].reason, Reason::Canary);
        let sentence = &snapshot.degraded[0].sentence;
        assert_eq!(sentence, "the canary's figures differ after: rename");
        let rename = |state| ("rename", state);
        assert!(
            snapshot
                .coverage
                .contains(&rename(Observation::Unattributed))
        );
        testbed.kernel.go_blind_to(None);
        testbed.event_loop.run_self_test().unwrap();
        let snapshot = testbed.look();
        assert!(snapshot.degraded.is_empty());
        assert!(snapshot.coverage.contains(&rename(Observation::Observed)));
    }

    #[test]
    fn switched_off_it_proves_nothing_and_gives_its_directory_back() {
        let mut testbed = testbed();
        testbed.event_loop.config.self_test.interval = None;
        testbed.event_loop.configure_self_test();
        assert!(testbed.look().canary.is_none());
        assert_eq!(testbed.event_loop.ledger.roots().count(), 1);
        testbed.event_loop.run_self_test().unwrap();
        assert_eq!(testbed.event_loop.self_test.due(), None);
    }
}
