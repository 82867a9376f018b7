//! Metric families in the making: names, labels and values into the crate's own types.

use prometheus::proto::{
    Bucket, Counter, Gauge, Histogram, LabelPair, Metric, MetricFamily, MetricType,
};

use super::names::Definition;
use crate::snapshot::{LATENCY_BUCKETS, Latency};

/// Labels of one series.
pub(super) type Labels<'a> = &'a [(&'a str, &'a str)];

/// The families of one scrape.
#[derive(Debug, Default)]
pub(super) struct Families {
    families: Vec<MetricFamily>,
}

impl Families {
    /// One family with one series per row; none without rows, as the text format demands.
    pub(super) fn add<'a, const N: usize>(
        &mut self,
        name: &Definition,
        rows: impl IntoIterator<Item = ([(&'a str, &'a str); N], f64)>,
    ) {
        let metrics: Vec<Metric> = rows
            .into_iter()
            .map(|(labels, value)| metric(name.kind, &labels, value))
            .collect();
        self.push(name, metrics);
    }

    /// One family with one series that has no labels.
    pub(super) fn add_single(&mut self, name: &Definition, value: f64) {
        self.add(name, [([], value)]);
    }

    /// One histogram.
    pub(super) fn add_latency(&mut self, name: &Definition, labels: Labels<'_>, latency: &Latency) {
        let Latency {
            counts,
            beyond,
            sum_seconds,
        } = latency;
        let counts = Counts {
            bounds: &LATENCY_BUCKETS,
            within: counts,
            beyond: *beyond,
            sum: *sum_seconds,
        };
        let mut metric = Metric::from_label(pairs(labels));
        metric.set_histogram(histogram(counts));
        self.push(name, vec![metric]);
    }

    /// One histogram per row: labels, bounds with their counts, what is beyond, and the sum.
    pub(super) fn add_histograms<'a, const N: usize>(
        &mut self,
        name: &Definition,
        rows: impl IntoIterator<Item = ([(&'a str, &'a str); N], Counts<'a>)>,
    ) {
        let metrics = rows.into_iter().map(|(labels, counts)| {
            let mut metric = Metric::from_label(pairs(&labels));
            metric.set_histogram(histogram(counts));
            metric
        });
        self.push(name, metrics.collect());
    }

    /// What was added, in that order.
    pub(super) fn into_inner(self) -> Vec<MetricFamily> {
        self.families
    }

    fn push(&mut self, name: &Definition, metrics: Vec<Metric>) {
        if metrics.is_empty() {
            return;
        }
        let mut family = MetricFamily::default();
        family.set_name(name.name.to_owned());
        family.set_help(name.help.to_owned());
        family.set_field_type(name.kind);
        family.set_metric(metrics);
        self.families.push(family);
    }
}

/// Figures of one histogram; counts are not cumulative.
#[derive(Clone, Copy, Debug)]
pub(super) struct Counts<'a> {
    pub(super) bounds: &'a [f64],
    pub(super) within: &'a [u64],
    pub(super) beyond: u64,
    pub(super) sum: f64,
}

fn histogram(figures: Counts<'_>) -> Histogram {
    let Counts {
        bounds,
        within,
        beyond,
        sum,
    } = figures;
    let mut cumulative = 0;
    let buckets = bounds.iter().zip(within).map(|(bound, count)| {
        cumulative += count;
        let mut bucket = Bucket::default();
        bucket.set_upper_bound(*bound);
        bucket.set_cumulative_count(cumulative);
        bucket
    });
    let mut histogram = Histogram::default();
    histogram.set_bucket(buckets.collect());
    histogram.set_sample_count(cumulative + beyond);
    histogram.set_sample_sum(sum);
    histogram
}

fn metric(kind: MetricType, labels: Labels<'_>, value: f64) -> Metric {
    let mut metric = Metric::from_label(pairs(labels));
    if kind == MetricType::COUNTER {
        let mut counter = Counter::default();
        counter.set_value(value);
        metric.set_counter(counter);
    } else {
        let mut gauge = Gauge::default();
        gauge.set_value(value);
        metric.set_gauge(gauge);
    }
    metric
}

fn pairs(labels: Labels<'_>) -> Vec<LabelPair> {
    let pair = |(name, value): &(&str, &str)| {
        let mut pair = LabelPair::default();
        pair.set_name((*name).to_owned());
        pair.set_value((*value).to_owned());
        pair
    };
    labels.iter().map(pair).collect()
}

#[expect(
    clippy::cast_precision_loss,
    reason = "the format has only doubles: exact up to 8 PiB"
)]
pub(super) fn figure(value: u64) -> f64 {
    value as f64
}

#[expect(
    clippy::cast_precision_loss,
    reason = "the format has only doubles: exact up to 8 PiB"
)]
pub(super) fn signed(value: i64) -> f64 {
    value as f64
}

#[expect(clippy::cast_precision_loss, reason = "lengths of short lists")]
pub(super) fn count(value: usize) -> f64 {
    value as f64
}

pub(super) fn flag(value: bool) -> f64 {
    f64::from(u8::from(value))
}
