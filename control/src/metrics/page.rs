//! The page of a scrape: families in the text format of Prometheus 0.0.4, written one family at a time, so that the
//! memory of a scrape is that of its text and of its longest family.

use headwater_engine::counters::Histogram;
use prometheus::proto::{self, LabelPair, Metric, MetricFamily, MetricType};
use prometheus::{Encoder, TextEncoder};

/// The page under way.
#[derive(Default)]
pub(crate) struct Page {
    text: Vec<u8>,
}

/// What a histogram holds. `buckets` are not cumulative and one more than `bounds`.
pub(crate) struct Distribution {
    pub(crate) bounds: &'static [f64],
    pub(crate) buckets: Vec<u64>,
    pub(crate) sum: f64,
}

impl From<&Histogram> for Distribution {
    fn from(histogram: &Histogram) -> Distribution {
        Distribution {
            bounds: histogram.bounds(),
            buckets: histogram.buckets().collect(),
            sum: histogram.sum(),
        }
    }
}

/// A sample with its labels and nothing in it.
pub(crate) fn labelled<L: AsRef<str>>(labels: &[(&str, L)]) -> Metric {
    let pair = |(name, value): &(&str, L)| {
        let mut pair = LabelPair::default();
        pair.set_name((*name).to_owned());
        pair.set_value(value.as_ref().to_owned());
        pair
    };
    Metric::from_label(labels.iter().map(pair).collect())
}

pub(crate) fn counter_sample<L: AsRef<str>>(labels: &[(&str, L)], value: f64) -> Metric {
    let mut counter = proto::Counter::default();
    counter.set_value(value);
    let mut metric = labelled(labels);
    metric.set_counter(counter);
    metric
}

pub(crate) fn gauge_sample<L: AsRef<str>>(labels: &[(&str, L)], value: f64) -> Metric {
    let mut metric = labelled(labels);
    set_gauge(&mut metric, value);
    metric
}

pub(crate) fn set_gauge(metric: &mut Metric, value: f64) {
    let mut gauge = proto::Gauge::default();
    gauge.set_value(value);
    metric.set_gauge(gauge);
}

pub(crate) fn histogram_sample<L: AsRef<str>>(labels: &[(&str, L)], of: &Distribution) -> Metric {
    let mut count = 0;
    let mut buckets = Vec::with_capacity(of.bounds.len());
    for (bound, observed) in of.bounds.iter().zip(&of.buckets) {
        count += observed;
        let mut bucket = proto::Bucket::default();
        bucket.set_upper_bound(*bound);
        bucket.set_cumulative_count(count);
        buckets.push(bucket);
    }
    let mut histogram = proto::Histogram::default();
    histogram.set_sample_count(of.buckets.iter().sum());
    histogram.set_sample_sum(of.sum);
    histogram.set_bucket(buckets);
    let mut metric = labelled(labels);
    metric.set_histogram(histogram);
    metric
}

impl Page {
    /// Adds a family of counters; `name` ends in `_total`. Without samples it is left out.
    pub(crate) fn counters(&mut self, name: &str, help: &str, samples: Vec<Metric>) {
        self.family(name, help, MetricType::COUNTER, samples);
    }

    /// Adds a counter without labels.
    pub(crate) fn counter(&mut self, name: &str, help: &str, value: f64) {
        self.counters(name, help, vec![counter_sample::<&str>(&[], value)]);
    }

    /// Adds a family of gauges. Without samples it is left out. Returns the samples, for the next family with the same
    /// labels: 10,000 sessions have 23 families.
    pub(crate) fn gauges(&mut self, name: &str, help: &str, samples: Vec<Metric>) -> Vec<Metric> {
        self.family(name, help, MetricType::GAUGE, samples)
    }

    /// Adds a gauge without labels.
    pub(crate) fn gauge(&mut self, name: &str, help: &str, value: f64) {
        self.gauges(name, help, vec![gauge_sample::<&str>(&[], value)]);
    }

    /// Adds a family of histograms. Without samples it is left out.
    pub(crate) fn histograms(&mut self, name: &str, help: &str, samples: Vec<Metric>) {
        self.family(name, help, MetricType::HISTOGRAM, samples);
    }

    fn family(&mut self, name: &str, help: &str, kind: MetricType, samples: Vec<Metric>) -> Vec<Metric> {
        debug_assert!(!help.is_empty(), "{name} has no help");
        if samples.is_empty() {
            return samples;
        }
        let mut family = [MetricFamily::default()];
        family[0].set_name(name.to_owned());
        family[0].set_help(help.to_owned());
        family[0].set_field_type(kind);
        family[0].set_metric(samples);
        let before = self.text.len();
        if let Err(error) = TextEncoder::new().encode(&family, &mut self.text) {
            // A half-written family would spoil the page for the scraper.
            self.text.truncate(before);
            tracing::error!("metric {name} cannot be written and is left out of the scrape: {error}");
        }
        family[0].take_metric()
    }

    /// The text. It is UTF-8: names are ours and labels are strings.
    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.text
    }
}
