//! Log lines on stderr: for people, or one JSON object each.

use std::io::IsTerminal as _;

use clap::ValueEnum;
use tracing_subscriber::{
    Layer as _, filter::Targets, layer::SubscriberExt as _, util::SubscriberInitExt as _,
};

use crate::sys::arguments::Format;

/// Least important log lines to write.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, ValueEnum)]
pub enum LogLevel {
    /// Data was lost or someone must act
    Error,
    /// Degraded but whole
    Warn,
    /// Changes of state
    #[default]
    Info,
    /// What the agent does
    Debug,
    /// Everything
    Trace,
}

impl From<LogLevel> for tracing::Level {
    fn from(level: LogLevel) -> Self {
        match level {
            LogLevel::Error => Self::ERROR,
            LogLevel::Warn => Self::WARN,
            LogLevel::Info => Self::INFO,
            LogLevel::Debug => Self::DEBUG,
            LogLevel::Trace => Self::TRACE,
        }
    }
}

/// What the loader says at debug level are thousands of lines about relocations.
const LOADER_TARGETS: [&str; 2] = ["aya", "aya_obj"];

/// Starts logging; colours only on a terminal and never with `NO_COLOR`.
pub fn start(format: Format, level: LogLevel) {
    let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let colours = std::io::stderr().is_terminal() && !no_color;
    let level = tracing::Level::from(level);
    let targets = LOADER_TARGETS
        .iter()
        .fold(Targets::new().with_default(level), |targets, name| {
            targets.with_target(*name, level.min(tracing::Level::WARN))
        });
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_target(false);
    let layer = match format {
        Format::Text => lines.with_ansi(colours).boxed(),
        Format::Json => lines.json().flatten_event(true).boxed(),
    };
    tracing_subscriber::registry()
        .with(layer.with_filter(targets))
        .init();
}
