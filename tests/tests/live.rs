//! What a process writes to a file that it keeps open shows while it writes, not when it closes.

use std::{
    process::{Child, Command},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use cache_tests::{
    daemon::Run,
    env::{Bench, FileSystem},
    wait::{self, QuietTime},
};

const ACTOR: &str = env!("CARGO_BIN_EXE_actor");
/// What is written, over some seconds.
const BYTES: u64 = 1 << 30;
const STEPS: u64 = 512;
const STEP_PAUSE_MS: u64 = 12;
/// Within which every figure must agree with the disk, in quiet time.
const LAG: Duration = Duration::from_secs(2);
/// Between two samples.
const PAUSE: Duration = Duration::from_millis(50);
/// Different figures seen while the file is open; one a second would give six.
const READINGS: usize = 4;

fn bench(name: &str) -> Result<Bench> {
    Bench::new(name, FileSystem::Native)
}

fn words(bench: &Bench) -> [String; 5] {
    let file = bench.root().join("file");
    [
        "grow".to_owned(),
        BYTES.to_string(),
        STEPS.to_string(),
        STEP_PAUSE_MS.to_string(),
        file.display().to_string(),
    ]
}

/// The disk's figures over time, and how the agent's compare.
struct Comparison<'a> {
    bench: &'a Bench,
    quiet: QuietTime,
    disk: Vec<(Duration, u64)>,
    readings: Vec<u64>,
}

impl<'a> Comparison<'a> {
    fn new(bench: &'a Bench) -> Self {
        Self {
            bench,
            quiet: QuietTime::start(),
            disk: Vec::new(),
            readings: Vec::new(),
        }
    }

    /// Compares one reading with the disk: it may not be ahead of it, nor further behind than [`LAG`].
    fn sample(&mut self, read: impl FnOnce() -> Result<u64>) -> Result<()> {
        let asked = self.quiet.elapsed();
        self.disk.push((asked, self.bench.walk()?.bytes));
        let reading = read()?;
        let most = self.bench.walk()?.bytes;
        let late = self.disk.iter().rev().find(|(at, _)| *at + LAG <= asked);
        let least = late.map_or(0, |(_, bytes)| *bytes);
        ensure!(
            (least..=most).contains(&reading),
            "{reading} B told, {least} B on disk {} s ago, {most} B now",
            LAG.as_secs()
        );
        if self.readings.last() != Some(&reading) {
            self.readings.push(reading);
        }
        wait::pause(PAUSE);
        Ok(())
    }

    /// The figures went along with the file, and end where it ends.
    fn finish(self) -> Result<()> {
        let between = self
            .readings
            .iter()
            .filter(|reading| (1..BYTES).contains(*reading))
            .count();
        ensure!(
            between >= READINGS && self.readings.last() == Some(&BYTES),
            "{:?}",
            self.readings
        );
        Ok(())
    }
}

/// Samples until the writer has ended, and for as long after that as a figure may lag.
fn follow(
    comparison: &mut Comparison<'_>,
    writer: &mut Child,
    mut read: impl FnMut() -> Result<u64>,
) -> Result<()> {
    let mut ended = None;
    while ended
        .as_mut()
        .is_none_or(|ended: &mut QuietTime| ended.elapsed() <= LAG)
    {
        comparison.sample(&mut read)?;
        if ended.is_none()
            && let Some(status) = writer.try_wait()?
        {
            ensure!(status.success(), "the writer: {status}");
            ended = Some(QuietTime::start());
        }
    }
    Ok(())
}

#[test]
fn metrics_follow_a_file_that_stays_open() -> Result<()> {
    let bench = bench("live-metrics")?;
    let daemon = Run::new(&bench, "agent")?.root(bench.root()).ready()?;
    let mut writer = Command::new(ACTOR).args(words(&bench)).spawn()?;
    let mut comparison = Comparison::new(&bench);
    follow(&mut comparison, &mut writer, || {
        let size = daemon.scrape()?.of_root("go_cache_size_bytes", "root")?;
        Ok(format!("{size}").parse()?)
    })?;
    comparison.finish()?;
    assert!(daemon.stop()?.success());
    Ok(())
}

#[test]
fn events_follow_a_file_that_stays_open() -> Result<()> {
    let bench = bench("live-events")?;
    let trace = bench.trace()?.option("--events=json");
    let tracing = trace.start(ACTOR, words(&bench))?;
    let mut comparison = Comparison::new(&bench);
    while comparison.readings.last() != Some(&BYTES) {
        comparison.sample(|| told(&tracing.stderr_so_far()))?;
    }
    comparison.finish()?;
    let traced = tracing.finish()?;
    traced.exact()?;
    assert_eq!(told(&traced.stderr)?, BYTES);
    Ok(())
}

/// What all event lines together say the root grew by.
fn told(stderr: &str) -> Result<u64> {
    let mut sum = 0;
    let whole = stderr.rfind('\n').map_or("", |end| &stderr[..end]);
    for line in whole.lines().filter(|line| line.starts_with('{')) {
        let event: serde_json::Value = serde_json::from_str(line)?;
        sum += event["size_change"].as_i64().context("no size_change")?;
    }
    Ok(u64::try_from(sum)?)
}
