//! What a person sees of a run, and what the run amounts to.

use std::{fs, io::Write as _, path::Path};

use anyhow::{Context as _, Result};

use super::protocol::{Message, Outcome, Tested};

/// Lines of the console that are shown when a machine hangs or dies.
const TAIL: usize = 40;
/// What a kernel prints when something is wrong with it.
const COMPLAINTS: [&str; 5] = [
    "Oops",
    "BUG:",
    "WARNING:",
    "Kernel panic",
    "general protection fault",
];

/// Everything heard from one machine, or from all of one kernel.
#[derive(Debug, Default)]
pub(super) struct Heard {
    pub(super) tests: Vec<Tested>,
    done: bool,
    pub(super) failures: Vec<String>,
    /// The test that has begun and not ended.
    running: Option<String>,
}

impl Heard {
    /// Takes in a message, and shows what a person waits for.
    pub(super) fn take(&mut self, version: &str, message: Message) {
        match message {
            Message::Ready(release) => {
                eprintln!("kernel {version}: {release} is up");
            }
            Message::Output(text) => {
                let mut output = std::io::stdout().lock();
                // Nobody listens any more: the run's verdict does not depend on it.
                drop(
                    output
                        .write_all(text.as_bytes())
                        .and_then(|()| output.flush()),
                );
            }
            Message::Begins {
                suite,
                backend,
                test,
            } => self.running = Some(format!("{suite} {test} by {backend}")),
            Message::Test(tested) => self.tested(version, tested),
            Message::Done { failures } => {
                self.done = true;
                if failures > 0 && self.failures.is_empty() {
                    self.failures.push("the command failed".to_owned());
                }
            }
            Message::Broken(reason) => self.failures.push(reason),
        }
    }

    fn tested(&mut self, version: &str, tested: Tested) {
        self.running = None;
        let name = format!("{} {} by {}", tested.suite, tested.test, tested.backend);
        let outcome = match tested.outcome {
            Outcome::Passed => "ok",
            Outcome::Failed => "FAILED",
            Outcome::Hung => "HUNG",
        };
        eprintln!(
            "{version:<5} {outcome:<6} {:>6.1} s  {name}",
            tested.seconds
        );
        if tested.outcome != Outcome::Passed {
            eprintln!("{}", tested.output.trim_end());
            self.failures.push(format!("{name} {outcome}"));
        }
        // Nothing here is up to the machine: it is made for the tests.
        let skipped = tested.skips.iter().map(|skip| skip.replace('\t', " / "));
        self.failures
            .extend(skipped.map(|skip| format!("skipped: {skip}")));
        self.tests.push(tested);
    }

    /// Adds what another machine said.
    pub(super) fn add(&mut self, other: Self) {
        self.tests.extend(other.tests);
        self.failures.extend(other.failures);
    }

    /// Adds what the machine's end and its console say to the failures.
    pub(super) fn conclude(&mut self, ended: Result<()>, console: &Path) -> Result<()> {
        let log =
            fs::read(console).with_context(|| format!("cannot read {}", console.display()))?;
        let log = String::from_utf8_lossy(&log);
        let complaints = log
            .lines()
            .filter(|line| COMPLAINTS.iter().any(|complaint| line.contains(complaint)));
        self.failures
            .extend(complaints.map(|line| format!("console: {}", line.trim())));
        let reason = match ended {
            Ok(()) if self.done => return Ok(()),
            Ok(()) => "the guest ended without a verdict".to_owned(),
            Err(error) => format!("{error:#}"),
        };
        let during = self.running.as_ref();
        let during = during.map_or_else(String::new, |test| format!(" (during {test})"));
        self.failures.push(format!("{reason}{during}"));
        eprintln!("the console's last lines:");
        let lines: Vec<&str> = log.lines().collect();
        for line in lines.iter().skip(lines.len().saturating_sub(TAIL)) {
            eprintln!("  {}", line.escape_debug());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn concluded(name: &str, console: &str, messages: Vec<Message>) -> Vec<String> {
        let file = std::env::temp_dir().join(format!("xtask-{name}-{}", std::process::id()));
        fs::write(&file, console).expect("a console");
        let mut heard = Heard::default();
        for message in messages {
            heard.take("6.1", message);
        }
        heard.conclude(Ok(()), &file).expect("readable");
        fs::remove_file(&file).expect("the console");
        heard.failures
    }

    fn done() -> Message {
        Message::Done { failures: 0 }
    }

    #[test]
    fn a_complaint_of_the_kernel_is_a_failure() {
        let found = concluded(
            "complaint",
            "[ 1.0] fine\n[ 2.0] WARNING: CPU: 0\n",
            vec![done()],
        );
        assert_eq!(found, ["console: [ 2.0] WARNING: CPU: 0"]);
        assert_eq!(concluded("fine", "fine\n", vec![done()]), [""; 0]);
    }

    #[test]
    fn silence_is_a_failure_that_names_the_test() {
        let begins = Message::Begins {
            suite: "cli".to_owned(),
            backend: "auto".to_owned(),
            test: "hangs".to_owned(),
        };
        assert_eq!(
            concluded("silence", "", vec![begins]),
            ["the guest ended without a verdict (during cli hangs by auto)"]
        );
    }
}
