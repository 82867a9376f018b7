//! Log lines on stderr: for people, or one JSON object each.

use std::io::IsTerminal as _;

use super::args::{Format, LogLevel};

/// Starts logging; colours only on a terminal and never with `NO_COLOR`.
pub fn start(format: Format, level: LogLevel) {
    let colours = std::io::stderr().is_terminal()
        && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let builder = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::from(level))
        .with_writer(std::io::stderr)
        .with_target(false);
    match format {
        Format::Text => builder.with_ansi(colours).init(),
        Format::Json => builder.json().flatten_event(true).init(),
    }
}
