//! Measures the history: `history generate DIRECTORY COUNT`, then `history measure DIRECTORY`, which prints JSON.
//!
//! `cargo xtask bench store` runs both.

mod generate;

use std::{
    env,
    path::Path,
    time::{Duration, Instant, SystemTime},
};

use anyhow::{Context as _, Result, bail, ensure};
use cache_agent::{
    store::{
        FILE_NAME, Store,
        query::{self, EarlierFilter, Filter},
    },
    sys::clock::milliseconds,
};

/// Records in one transaction while generating.
const BATCH: u64 = 5_000;
/// Times that each question is asked; the slowest counts.
const ROUNDS: u32 = 5;
/// The span of the question about growth.
const WEEK_MS: i64 = 7 * 24 * 3_600_000;
/// Invocations asked for.
const LAST: u32 = 50;

fn main() -> Result<()> {
    let words: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["generate", directory, count] => {
            let count = count
                .parse()
                .with_context(|| format!("`{count}` is no number"))?;
            generate(Path::new(directory), count)
        }
        ["measure", directory] => measure(Path::new(directory)),
        _ => bail!("usage: history generate DIRECTORY COUNT | history measure DIRECTORY"),
    }
}

fn generate(directory: &Path, count: u64) -> Result<()> {
    let mut store = Store::open(directory)?;
    let end_ms = milliseconds(SystemTime::now());
    let mut first = 0;
    while first < count {
        let numbers = first..count.min(first + BATCH);
        first = numbers.end;
        let records: Vec<_> = numbers
            .map(|number| generate::record(number, count, end_ms))
            .collect();
        store.write(&records)?;
    }
    Ok(())
}

/// Every round opens the file anew, as the command line does.
fn measure(directory: &Path) -> Result<()> {
    let bytes = std::fs::metadata(directory.join(FILE_NAME))?.len();
    let now_ms = milliseconds(SystemTime::now());
    let module = generate::module(0);
    let last = slowest(directory, |store| {
        let filter = Filter {
            module: Some(&module),
            limit: LAST,
            ..Filter::default()
        };
        let found = query::invocations(store, &filter)?;
        ensure!(!found.is_empty(), "no invocation of {module}");
        Ok(())
    })?;
    let growth = slowest(directory, |store| {
        let found = query::growth_by_module(store, now_ms - WEEK_MS)?;
        ensure!(!found.is_empty(), "no growth");
        Ok(())
    })?;
    let earlier = slowest(directory, |store| {
        let filter = EarlierFilter {
            module: &module,
            cwd: None,
            before_ms: now_ms,
            limit: 20,
        };
        let found = query::earlier(store, &filter)?;
        ensure!(!found.is_empty(), "nothing earlier of {module}");
        Ok(())
    })?;
    let ms = |duration: Duration| duration.as_secs_f64() * 1000.0;
    let figures = serde_json::json!({
        "bytes": bytes, "last_50_of_module_ms": ms(last), "growth_by_module_7_days_ms": ms(growth),
        "earlier_of_module_ms": ms(earlier),
    });
    write(&format!("{figures}\n"))
}

fn slowest(directory: &Path, ask: impl Fn(&Store) -> Result<()>) -> Result<Duration> {
    let mut slowest = Duration::ZERO;
    for _ in 0..ROUNDS {
        let started = Instant::now();
        ask(&Store::read(directory)?)?;
        slowest = slowest.max(started.elapsed());
    }
    Ok(slowest)
}

fn write(text: &str) -> Result<()> {
    use std::io::Write as _;
    std::io::stdout()
        .write_all(text.as_bytes())
        .context("cannot write to stdout")
}
