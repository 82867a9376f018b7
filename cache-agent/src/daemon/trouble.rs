//! What keeps one root from being watched or walked: told once, tried again with a pause, and its own trouble.

use std::time::{Duration, Instant};

/// Before the first new try; doubled with each failure in a row.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(64);
/// Returns of a root that are followed at once. A cache that is cleaned by `rm -rf` comes back now and then.
const RETURNS_MAX: u32 = 5;
/// The time in which they may happen.
const RETURNS_WINDOW: Duration = Duration::from_mins(1);

/// Why a root is not as it should be.
#[derive(Debug, Default)]
pub(super) struct Trouble {
    sentence: Option<String>,
    /// Failures in a row.
    failures: u32,
}

impl Trouble {
    /// What is wrong, if anything is.
    pub(super) fn sentence(&self) -> Option<&str> {
        self.sentence.as_deref()
    }

    /// Something failed; how long to wait before the next try.
    pub(super) fn failed(&mut self, root: &str, sentence: String) -> Duration {
        self.tell(root, sentence);
        let pause = FIRST_PAUSE.saturating_mul(1 << self.failures.min(6));
        self.failures = self.failures.saturating_add(1);
        pause.min(LONGEST_PAUSE)
    }

    /// It works, and this is to be known about it; nothing most of the time.
    pub(super) fn works(&mut self, root: &str, sentence: Option<String>) {
        self.failures = 0;
        match sentence {
            Some(sentence) => self.tell(root, sentence),
            None if self.sentence.take().is_some() => {
                tracing::info!(root, "root is as it should be again");
            }
            None => {}
        }
    }

    fn tell(&mut self, root: &str, reason: String) {
        if self.sentence.as_ref() != Some(&reason) {
            tracing::warn!(root, reason, "root is in trouble");
            self.sentence = Some(reason);
        }
    }
}

/// How often a root came back: one that somebody makes and removes in a loop is left alone for a while.
#[derive(Debug, Default)]
pub(super) struct Returns {
    since: Option<Instant>,
    losses: u32,
}

impl Returns {
    /// Its directory went.
    pub(super) fn lost(&mut self, now: Instant) {
        if self.since.is_none_or(|since| now >= since + RETURNS_WINDOW) {
            self.since = Some(now);
            self.losses = 0;
        }
        self.losses = self.losses.saturating_add(1);
    }

    /// When the next one may be taken up, unless at once.
    pub(super) fn not_before(&self, now: Instant) -> Option<Instant> {
        let until = self.since? + RETURNS_WINDOW;
        (self.losses > RETURNS_MAX && now < until).then_some(until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_in_a_row_are_tried_again_ever_later() {
        let mut trouble = Trouble::default();
        let mut pauses = Vec::new();
        for _ in 0..9 {
            pauses.push(trouble.failed("r", "no".to_owned()).as_secs());
        }
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 64, 64, 64]);
        assert_eq!(trouble.sentence(), Some("no"));
        trouble.works("r", None);
        assert_eq!(trouble.sentence(), None);
        assert_eq!(trouble.failed("r", "no".to_owned()).as_secs(), 1);
    }

    #[test]
    fn a_root_that_comes_and_goes_is_left_alone_until_the_minute_is_over() {
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        let mut returns = Returns::default();
        for _ in 0..RETURNS_MAX {
            returns.lost(start);
            assert_eq!(returns.not_before(start), None);
        }
        returns.lost(after(1));
        assert_eq!(returns.not_before(after(2)), Some(after(60)));
        assert_eq!(returns.not_before(after(60)), None);
        returns.lost(after(61));
        assert_eq!(returns.not_before(after(61)), None);
    }
}
