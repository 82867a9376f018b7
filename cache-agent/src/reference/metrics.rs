//! `metrics.md`: names, types and help from the definitions, labels from a scrape.

use std::collections::BTreeMap;

use prometheus::proto::{LabelPair, Metric, MetricFamily, MetricType};

use super::{check, code, codes, quoted, table};
use crate::serve::metrics::{agent::FAULTS, families, tests::snapshot};

/// Labels whose values no sample has all of.
const OPEN: [(&str, &str); 5] = [
    (
        "root",
        "the root's configured or discovered name; roots beyond 50 share `other`",
    ),
    ("kind", "`gobuild`, `gomod`, `other`"),
    ("backend", "`fentry`, `tracepoint`"),
    ("map", "`credits`, `processes`, `other`"),
    ("version", "that of the agent"),
];

#[test]
fn metrics_are_documented() {
    let families = families(&snapshot(1));
    let page = check(
        "metrics.md",
        &[
            ("metrics", metrics(&families)),
            ("labels", labels(&families)),
            ("series", series()),
        ],
    );
    let (_, faults) = page.split_once("| Cause | What happened |").unwrap();
    let (faults, _) = faults.split_once("\n\n").unwrap();
    let explained = quoted(faults);
    for (family, label, value) in values(&families) {
        if (family, label) == (FAULTS.name, "cause") {
            assert!(
                explained.contains(value),
                "metrics.md explains no `{value}`"
            );
        }
    }
}

fn metrics(families: &[MetricFamily]) -> String {
    let rows = families.iter().map(|family| {
        let kind = match family.get_field_type() {
            MetricType::COUNTER => "counter",
            MetricType::GAUGE => "gauge",
            MetricType::HISTOGRAM => "histogram",
            other => panic!("{other:?}"),
        };
        let metric = family.get_metric().first().unwrap();
        let labels = metric.get_label().iter().map(LabelPair::name);
        let labels = Some(codes(labels)).filter(|labels| !labels.is_empty());
        [
            code(family.name()),
            kind.to_owned(),
            labels.unwrap_or_else(|| "-".to_owned()),
            family.help().to_owned(),
        ]
    });
    table(["Metric", "Type", "Labels", "Help"], rows)
}

/// Every label of every family with each of its values.
fn values(families: &[MetricFamily]) -> impl Iterator<Item = (&str, &str, &str)> {
    families.iter().flat_map(|family| {
        let labels = family.get_metric().iter().flat_map(Metric::get_label);
        labels.map(|label| (family.name(), label.name(), label.value()))
    })
}

/// One row for the families that have the same values of a label.
fn labels(families: &[MetricFamily]) -> String {
    let mut found: Vec<((&str, &str), Vec<&str>)> = Vec::new();
    for (family, label, value) in values(families) {
        match found.iter_mut().find(|(key, _)| *key == (label, family)) {
            Some((_, values)) if values.contains(&value) => {}
            Some((_, values)) => values.push(value),
            None => found.push(((label, family), vec![value])),
        }
    }
    let open: BTreeMap<_, _> = OPEN.into();
    let mut rows: Vec<(&str, String, Vec<&str>)> = Vec::new();
    for ((label, family), values) in found {
        let values = open
            .get(label)
            .map_or_else(|| codes(values), |text| (*text).to_owned());
        match rows
            .iter_mut()
            .find(|row| (row.0, &row.1) == (label, &values))
        {
            Some(row) => row.2.push(family),
            None => rows.push((label, values, vec![family])),
        }
    }
    let rows = rows.into_iter().map(|(label, values, families)| {
        let of = if open.contains_key(label) {
            "all that have it".to_owned()
        } else {
            codes(families)
        };
        [code(label), of, values]
    });
    table(["Label", "Of", "Values"], rows)
}

fn series() -> String {
    let with_limits = |roots| count(&families(&snapshot(roots)));
    let (none, one, ten) = (with_limits(0), with_limits(1), with_limits(10));
    let mut unlimited = snapshot(1);
    unlimited
        .roots
        .iter_mut()
        .for_each(|root| root.thresholds.clear());
    let unlimited = count(&families(&unlimited));
    format!(
        "{none} series, {} more for each root and {} more for each size limit: {one} for one root with a limit, \
         {ten} for ten.\n",
        unlimited - none,
        one - unlimited,
    )
}

/// Lines of a scrape.
fn count(families: &[MetricFamily]) -> usize {
    let metrics = families.iter().flat_map(MetricFamily::get_metric);
    let lines = metrics.map(|metric| match metric.get_histogram().get_bucket().len() {
        0 => 1,
        // One for infinity, the sum and the count.
        buckets => buckets + 3,
    });
    lines.sum()
}
