//! `--events`: one line per file operation while the command runs.

use std::{
    collections::HashMap,
    time::{Duration, SystemTime},
};

use serde_json::json;

use crate::{
    kernel::file_events::Fact,
    model::printable::printable,
    sys::{arguments::Format, clock::event_clock},
};

/// Prints events in the form asked for.
#[derive(Debug)]
pub struct EventLines {
    format: Option<Format>,
    /// Wall-clock time of the kernel clock's zero.
    zero: SystemTime,
    roots: HashMap<u32, String>,
}

impl EventLines {
    /// Prints nothing without a format.
    pub fn new(format: Option<Format>) -> Self {
        let up = event_clock();
        let now = SystemTime::now();
        Self {
            format,
            zero: now.checked_sub(up).unwrap_or(SystemTime::UNIX_EPOCH),
            roots: HashMap::new(),
        }
    }

    /// Roots by number.
    pub fn name(&mut self, roots: impl Iterator<Item = (u32, String)>) {
        self.roots.extend(roots);
    }

    /// One event.
    pub fn print(&self, fact: &Fact) {
        let Some(format) = self.format else { return };
        let event = &fact.event;
        let time =
            humantime::format_rfc3339_micros(self.zero + Duration::from_nanos(event.time_ns));
        let end = event
            .comm
            .iter()
            .position(|byte| *byte == 0)
            .unwrap_or(event.comm.len());
        let comm = printable(event.comm.get(..end).unwrap_or_default());
        let path = fact.path().unwrap_or_else(|| "?".to_owned());
        let (operation, change, pid) = (fact.operation(), fact.size_change(), event.process.tgid);
        match format {
            Format::Text => eprintln!("{time} {pid} {comm} {operation} {path} {change:+}"),
            Format::Json => eprintln!(
                "{}",
                json!({"time": time.to_string(), "pid": pid, "comm": comm, "operation": operation, "path": path,
                       "root": self.roots.get(&event.root), "size_change": change, "in_command": fact.in_command()})
            ),
        }
    }
}
