//! The table for people, on stdout.

use std::io::{self, Write as _};

use anyhow::{Context as _, Result};

use super::{
    observer::Observer,
    summary::{Figures, Summary},
};
use crate::{limits::mebibytes, statistics::PairedRatio};

pub(super) fn print(title: &str, summaries: &[Summary]) -> Result<()> {
    io::stdout()
        .write_all(render(title, summaries).as_bytes())
        .context("cannot write to stdout")
}

/// The figures are ratios to a build that nobody watches.
fn render(title: &str, summaries: &[Summary]) -> String {
    let mut lines = vec![
        title.to_owned(),
        row([
            "watched by",
            "wall",
            "95 %",
            "build CPU",
            "with its own",
            "95 %",
            "own s",
            "BPF s",
            "start s",
            "MiB",
            "lost",
            "error, bytes",
        ]),
    ];
    for summary in summaries {
        lines.push(match (&summary.refused, &summary.measured) {
            (Some(reason), _) => format!("{:<18} refused: {reason}", summary.name),
            (None, Some(_)) if summary.observer == Observer::Nothing => {
                format!("{:<18} {:>6}", summary.name, "1.000")
            }
            (None, Some(figures)) => measured(summary.name, figures),
            (None, None) => format!("{:<18} not measured", summary.name),
        });
    }
    lines.push(String::new());
    lines.join("\n")
}

fn measured(name: &str, figures: &Figures) -> String {
    let Figures {
        wall,
        build_cpu,
        total_cpu,
        cpu_s,
        bpf_s,
        start_cpu_s,
        max_rss_bytes,
        lost,
        error_bytes,
    } = figures;
    row([
        name,
        &format!("{:.3}", wall.value),
        &interval(wall),
        &format!("{:.3}", build_cpu.value),
        &format!("{:.3}", total_cpu.value),
        &interval(total_cpu),
        &format!("{cpu_s:.2}"),
        &bpf_s.map_or("-".to_owned(), |bpf_s| format!("{bpf_s:.2}")),
        &format!("{start_cpu_s:.2}"),
        &max_rss_bytes.map_or("-".to_owned(), |bytes| format!("{:.1}", mebibytes(bytes))),
        &lost.map_or("not told".to_owned(), |lost| lost.to_string()),
        &error_bytes.map_or("no bytes".to_owned(), |error| format!("{error:+}")),
    ])
}

fn interval(ratio: &PairedRatio) -> String {
    ratio.interval.map_or("-".to_owned(), |[low, high]| {
        format!("{low:.3} to {high:.3}")
    })
}

fn row(cells: [&str; 12]) -> String {
    let [
        name,
        wall,
        wall_95,
        cpu,
        total,
        total_95,
        own,
        bpf,
        start,
        memory,
        lost,
        error,
    ] = cells;
    format!(
        "{name:<18} {wall:>6} {wall_95:>15} {cpu:>10} {total:>13} {total_95:>15} {own:>7} {bpf:>7} {start:>8} {memory:>7} {lost:>9} {error:>13}"
    )
}
