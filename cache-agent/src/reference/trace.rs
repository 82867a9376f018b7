//! `trace.md`: the options from their definition, and the fields of a document that has them all.

use std::{collections::BTreeMap, ffi::OsString, time::Duration};

use cache_ebpf::{ProcessKey, counter};
use serde_json::Value;

use super::{check, options, quoted};
use crate::{
    invocation::observer::CacheUser,
    ledger::accounts::{Account, Accounts},
    model::{
        invocation::{Cause, Finished, Invocation, Package, Processes},
        operation::Observation,
        root::RootKind,
    },
    sys::usage::Usage,
    trace::{
        command::Ended,
        elsewhere::{Elsewhere, Reason},
        report::json::{Document, RootRow},
        roots::Place,
    },
};

#[test]
fn trace_is_documented() {
    let page = check(
        "trace.md",
        &[
            ("options", options("trace")),
            ("invocations", options("invocations")),
            ("why", options("why")),
        ],
    );
    let (_, fields) = page.split_once("| Field | Meaning |").unwrap();
    let (fields, _) = fields.split_once("\n\n").unwrap();
    let documented = fields.lines().filter_map(|line| line.split('|').nth(1));
    let documented: Vec<&str> = documented.flat_map(quoted).collect();
    let mut found = Vec::new();
    paths(&document(), String::new(), &mut found);
    for path in &found {
        assert!(
            documented.iter().any(|name| is_documented_by(path, name)),
            "trace.md lacks {path}"
        );
    }
    for name in documented {
        let exists = found.iter().any(|path| is_documented_by(path, name));
        assert!(exists, "no document has {name} of trace.md");
    }
}

/// A part of a name in capitals stands for any name.
fn is_documented_by(path: &str, name: &str) -> bool {
    let (parts, names) = (path.split('.'), name.split('.'));
    let is_any = |name: &str| name.chars().all(|letter| letter.is_ascii_uppercase());
    parts.clone().count() == names.clone().count()
        && parts
            .zip(names)
            .all(|(part, name)| part == name || is_any(name))
}

/// Every value that is no container, by the way to it.
fn paths(value: &Value, path: String, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => fields.iter().for_each(|(name, value)| {
            let dot = if path.is_empty() { "" } else { "." };
            paths(value, format!("{path}{dot}{name}"), found);
        }),
        Value::Array(values) if values.iter().any(Value::is_object) => values
            .iter()
            .for_each(|value| paths(value, format!("{path}[]"), found)),
        _ => found.push(path),
    }
}

fn document() -> Value {
    let mut account = Account::default();
    account.roots.entry(0).or_default().growth_bytes = 1;
    let process = ProcessKey {
        start_ns: 1,
        tgid: 1,
        pad: 0,
    };
    let place = Place {
        path: "/root".into(),
        kind: RootKind::GoBuild,
    };
    let cause = Cause {
        kind: "first_build".to_owned(),
        detail: String::new(),
        ..Cause::default()
    };
    let record = Invocation {
        ci: BTreeMap::from([("system".to_owned(), "x".to_owned())]),
        cause: vec![cause],
        processes: BTreeMap::from([("compile".to_owned(), Processes::default())]),
        ..Invocation::default()
    };
    let elsewhere = Elsewhere {
        kind: RootKind::GoBuild,
        path: "/other".into(),
        user: CacheUser {
            invocation: String::new(),
            command: String::new(),
            parent: None,
        },
        reason: Reason::Given,
    };
    let document = Document {
        backend: "fentry",
        coverage: vec![("open", Observation::Observed)],
        argv: &[OsString::from("true")],
        ended: &Ended {
            code: 0,
            duration: Duration::ZERO,
        },
        elsewhere: &[elsewhere],
        roots: &[RootRow::new(0, &place)],
        accounts: &Accounts {
            processes: [(process, account)].into(),
        },
        finished: &[Finished {
            record,
            packages: vec![Package::default()],
            compiled: Vec::new(),
            helper: None,
        }],
        counters: [0; counter::COUNT as usize],
        process_events_dropped: 0,
        missed_runs: 0,
        usage: Usage {
            cpu_seconds: 0.0,
            max_rss_bytes: 0,
        },
    };
    document.to_json()
}
