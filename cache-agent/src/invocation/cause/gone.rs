//! Where an entry went that had been there.

use crate::model::{built::Reason, compiled::Past, invocation::Invocation};

/// The entry was made by `maker` and is gone now.
pub(super) fn reason(now: &Invocation, maker: &Invocation, past: &Past) -> Reason {
    let since_ms = end_ms(maker);
    let later = past.earlier.iter().map(|one| &one.record).filter(|record| {
        record.id != now.id
            && end_ms(record) >= since_ms
            && record.freed_bytes > 0
            && shares_root(now, record)
    });
    // Who came and went in between, before those under way all the time: the shell around both builds.
    let is_between =
        |record: &Invocation| record.start_ms >= since_ms && end_ms(record) <= now.start_ms;
    let Some(who) = later.max_by_key(|record| (is_between(record), record.freed_bytes)) else {
        return Reason::new("removed", "by somebody who was not seen");
    };
    let kind = match (who.tool.as_str(), who.verb.as_str()) {
        ("go", "trim") => "trimmed",
        ("go", "clean") => "cleaned",
        _ => "removed",
    };
    Reason::new(kind, &by(who))
}

/// When it ended, in milliseconds since the Unix epoch.
pub(super) fn end_ms(record: &Invocation) -> i64 {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "no command runs for so long"
    )]
    let duration_ms = (record.duration_s * 1000.0) as i64;
    record.start_ms.saturating_add(duration_ms)
}

/// Both changed a common root, or one of them changed none.
fn shares_root(now: &Invocation, other: &Invocation) -> bool {
    now.roots.is_empty() || now.roots.keys().any(|root| other.roots.contains_key(root))
}

/// Who did what, when.
fn by(record: &Invocation) -> String {
    let who = if record.user.is_empty() {
        record.uid.to_string()
    } else {
        record.user.clone()
    };
    format!("by {} of {who} at {}", record.argv.join(" "), record.start)
}
