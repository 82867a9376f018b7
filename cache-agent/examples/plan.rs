//! How long a plan for many entries takes, and how much memory: `cargo xtask bench eviction --entries N`.

use std::{env, fs, io, time::Instant};

use anyhow::{Context as _, Result, ensure};
use cache_agent::limits::policy::{Entry, Group, Moment, Policy, plan};
use serde::Serialize;

#[derive(Serialize)]
struct Measured {
    entries: u32,
    victims: usize,
    plan_s: f64,
    /// Of the whole process, the entries included.
    peak_bytes: u64,
}

fn main() -> Result<()> {
    let count = env::args().nth(1).context("how many entries?")?;
    let count: u32 = count.parse()?;
    ensure!(count > 0, "no entries, nothing to plan");
    let groups: Vec<Group> = (0..=count / 4).map(group).collect();
    let entries: Vec<Entry> = (0..count).map(|number| entry(number, count)).collect();
    let bytes: u64 = entries.iter().map(|entry| entry.bytes).sum();
    let now = Moment {
        seconds: count.saturating_add(86_400),
        invocation: count / 100 + 1,
    };
    let started = Instant::now();
    // From `high` to `low`.
    let victims = plan(&entries, &groups, bytes * 15 / 100, Policy::Value, now);
    let measured = Measured {
        entries: count,
        victims: victims.len(),
        plan_s: started.elapsed().as_secs_f64(),
        peak_bytes: peak_bytes()?,
    };
    serde_json::to_writer(io::stdout(), &measured)?;
    Ok(())
}

/// Fixed, and in no order that sorting would like.
fn scattered(number: u32) -> u32 {
    number
        .wrapping_mul(0x9E37_79B1)
        .rotate_left(15)
        .wrapping_mul(0x85EB_CA77)
}

fn entry(number: u32, count: u32) -> Entry {
    let random = scattered(number);
    let last = random % count;
    let tenths = random.to_le_bytes()[1];
    Entry {
        key: u64::from(random) << 32 | u64::from(number),
        bytes: u64::from(random % 1_000_000 + 4096),
        cost_s: f32::from(tenths) / 10.0,
        group: random % (count / 4 + 1),
        first_seen: last / 2,
        last_use: Moment {
            seconds: last,
            invocation: last / 100 + 1,
        },
        interval: f32::from(tenths) / 2.0,
        invocations: 1.0,
        ..Entry::default()
    }
}

fn group(number: u32) -> Group {
    let last_use = scattered(number) % 10_000;
    Group {
        last_use,
        compiled: last_use / 2,
        interval: 3.0,
        lookups: 4.0,
        ..Group::default()
    }
}

fn peak_bytes() -> Result<u64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = peak.and_then(|rest| rest.trim().strip_suffix(" kB"));
    Ok(kib.context("no VmHWM")?.trim().parse::<u64>()? * 1024)
}
