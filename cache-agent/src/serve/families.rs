//! Metric families in the making: names, labels and values into the crate's own types.

use prometheus::proto::{
    Bucket, Counter, Gauge, Histogram, LabelPair, Metric, MetricFamily, MetricType,
};

use super::names::Name;
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
        name: &Name,
        rows: impl IntoIterator<Item = ([(&'a str, &'a str); N], f64)>,
    ) {
        let metrics: Vec<Metric> = rows
            .into_iter()
            .map(|(labels, value)| metric(name.kind, &labels, value))
            .collect();
        self.push(name, metrics);
    }

    /// One family with one series that has no labels.
    pub(super) fn add_single(&mut self, name: &Name, value: f64) {
        self.add(name, [([], value)]);
    }

    /// One histogram.
    pub(super) fn add_latency(&mut self, name: &Name, labels: Labels<'_>, latency: &Latency) {
        let Latency {
            counts,
            beyond,
            sum_seconds,
        } = latency;
        let mut cumulative = 0;
        let buckets = LATENCY_BUCKETS.iter().zip(counts).map(|(bound, count)| {
            cumulative += count;
            let mut bucket = Bucket::default();
            bucket.set_upper_bound(*bound);
            bucket.set_cumulative_count(cumulative);
            bucket
        });
        let mut histogram = Histogram::default();
        histogram.set_bucket(buckets.collect());
        histogram.set_sample_count(cumulative + beyond);
        histogram.set_sample_sum(*sum_seconds);
        let mut metric = Metric::from_label(pairs(labels));
        metric.set_histogram(histogram);
        self.push(name, vec![metric]);
    }

    /// What was added, in that order.
    pub(super) fn into_inner(self) -> Vec<MetricFamily> {
        self.families
    }

    fn push(&mut self, name: &Name, metrics: Vec<Metric>) {
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
