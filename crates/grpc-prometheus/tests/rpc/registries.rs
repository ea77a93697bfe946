//! Pages of registries with other collectors' metrics, whatever their names.

use std::collections::{BTreeMap, BTreeSet};

use grpc_prometheus::{Exposition, ServerMetrics};
use prometheus::{
    Counter, Gauge, Histogram, HistogramOpts, Opts, Registry, TextEncoder,
    core::{Collector, Desc, Describer},
    proto::{Metric, MetricFamily, MetricType, Quantile, Summary},
};
use proptest::prelude::*;

use crate::{
    echo::echo_descriptor_set,
    expect::{openmetrics, page},
};

/// The crate has no summaries of its own.
struct Summaries(Desc);

impl Collector for Summaries {
    fn desc(&self) -> Vec<&Desc> {
        vec![&self.0]
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let mut quantile = Quantile::default();
        quantile.set_quantile(0.5);
        quantile.set_value(1.25);
        let mut summary = Summary::default();
        summary.set_sample_count(3);
        summary.set_sample_sum(4.5);
        summary.set_quantile(vec![quantile]);
        let mut metric = Metric::from_label(self.0.const_label_pairs.clone());
        metric.set_summary(summary);
        let mut family = MetricFamily::default();
        family.set_name(self.0.fq_name.clone());
        family.set_help(self.0.help.clone());
        family.set_field_type(MetricType::SUMMARY);
        family.set_metric(vec![metric]);
        vec![family]
    }
}

/// A sample's name and labels, with numbers in `le` and `quantile` spelled in one way.
type SeriesId = (String, String);

/// A page with its samples by family.
#[derive(Debug, Default)]
struct Read {
    /// Each `TYPE` with the samples that follow it.
    families: Vec<(String, String, Vec<SeriesId>)>,
    values: BTreeMap<SeriesId, f64>,
    twice: Vec<SeriesId>,
}

fn read(page: &str) -> Read {
    let mut read = Read::default();
    for line in page.lines() {
        if let Some(family) = line.strip_prefix("# TYPE ") {
            let (name, kind) = family.split_once(' ').unwrap();
            read.families.push((name.into(), kind.into(), Vec::new()));
        } else if !line.starts_with('#') {
            let (series, value) = line.rsplit_once(' ').unwrap();
            let (name, labels) = series.split_once('{').unwrap_or((series, ""));
            let labels = labels.trim_end_matches('}').split(',').map(|label| {
                let (name, value) = label.split_once('=').unwrap_or((label, ""));
                match (name, value.trim_matches('"').parse::<f64>()) {
                    ("le" | "quantile", Ok(number)) => format!("{name}={number}"),
                    _ => label.to_owned(),
                }
            });
            let id = (name.to_owned(), labels.collect::<Vec<_>>().join(","));
            if read
                .values
                .insert(id.clone(), value.parse().unwrap())
                .is_some()
            {
                read.twice.push(id.clone());
            }
            read.families.last_mut().unwrap().2.push(id);
        }
    }
    read
}

/// Registers a metric. Names that the registry rejects are left out.
fn register(registry: &Registry, kind: u8, name: &str, label: Option<&str>) {
    let opts = Opts::new(name, "Theirs.");
    let opts = label
        .iter()
        .fold(opts, |opts, value| opts.const_label("a", *value));
    let collector: Box<dyn Collector> = match kind {
        0 => {
            let counter = Counter::with_opts(opts).unwrap();
            counter.inc_by(2.0);
            Box::new(counter)
        }
        1 => Box::new(Gauge::with_opts(opts).unwrap()),
        2 => {
            let opts = HistogramOpts::from(opts).buckets(vec![0.5, 1.0]);
            let histogram = Histogram::with_opts(opts).unwrap();
            histogram.observe(0.75);
            Box::new(histogram)
        }
        _ => Box::new(Summaries(opts.describe().unwrap())),
    };
    _ = registry.register(collector);
}

fn name() -> impl Strategy<Value = String> {
    let suffixes = prop::sample::select(vec![
        "",
        "",
        "_total",
        "_total_total",
        "_bucket",
        "_count",
        "_sum",
        "_created",
        "_info",
        "_total_created",
        "_created_total",
        "_count_total",
        "_bucket_count",
    ]);
    (
        "a|b|_total|a_grpc_server_started|grpc_server_handling_seconds",
        suffixes,
    )
        .prop_map(|(stem, suffix)| format!("{stem}{suffix}"))
}

/// What the names of samples may end in, and what else no other family may be named.
fn suffixes(kind: &str) -> (&'static [&'static str], &'static [&'static str]) {
    match kind {
        "counter" => (&["_total"], &["_created", ""]),
        "histogram" => (&["_bucket", "_count", "_sum"], &["_created", ""]),
        "summary" => (&["", "_count", "_sum"], &["_created"]),
        _ => (&[""], &[]),
    }
}

/// The rules of OpenMetrics 1.0 for the names of families and samples.
fn check_openmetrics(page: &Read) -> Result<(), TestCaseError> {
    let mut names = BTreeSet::new();
    for (family, kind, samples) in &page.families {
        let (allowed, reserved) = suffixes(kind);
        for suffix in allowed.iter().chain(reserved) {
            let name = format!("{family}{suffix}");
            prop_assert!(names.insert(name), "{family}{suffix} clashes");
        }
        for (name, _) in samples {
            let mut allowed = allowed.iter().map(|suffix| format!("{family}{suffix}"));
            prop_assert!(
                allowed.any(|allowed| allowed == *name),
                "{name} in {kind} {family}"
            );
        }
    }
    Ok(())
}

proptest! {
    #[test]
    fn both_formats_show_the_registered_series_once_under_the_registered_names(
        metrics in prop::collection::vec(
            (0..4_u8, name(), prop::option::of("[xy]")), 0..8,
        ),
        ours in prop::bool::weighted(0.2),
    ) {
        let exposition = Exposition::default();
        for (kind, name, label) in &metrics {
            register(exposition.registry(), *kind, name, label.as_deref());
        }
        if ours {
            let builder = ServerMetrics::builder().descriptor_set(&echo_descriptor_set());
            // A name of ours may be taken.
            _ = builder.register(&exposition);
        }
        let gathered = exposition.registry().gather();
        let gathered = read(&TextEncoder::new().encode_to_string(&gathered).unwrap());
        let text = read(&page(&exposition));
        let other = read(&openmetrics(&exposition));
        prop_assert_eq!(&text.values.keys().collect::<Vec<_>>(), &gathered.values.keys().collect::<Vec<_>>());
        prop_assert_eq!(&text.values, &other.values);
        prop_assert_eq!(&text.twice, &[]);
        prop_assert_eq!(&other.twice, &[]);
        check_openmetrics(&other)?;
    }
}

#[test]
fn a_counter_without_total_keeps_its_name_in_openmetrics_and_its_type_in_text() {
    let exposition = Exposition::default();
    register(exposition.registry(), 0, "jobs", None);
    let text = "# HELP jobs Theirs.\n# TYPE jobs counter\njobs 2\n";
    assert_eq!(page(&exposition), text);
    let expected = "# HELP jobs Theirs.\n# TYPE jobs unknown\njobs 2\n# EOF\n";
    assert_eq!(openmetrics(&exposition), expected);
}

#[test]
fn counters_that_a_renaming_would_make_one_stay_two() {
    let exposition = Exposition::default();
    register(exposition.registry(), 0, "jobs", Some("x"));
    register(exposition.registry(), 0, "jobs_total", Some("x"));
    let expected = "# HELP jobs Theirs.\n# TYPE jobs unknown\njobs{a=\"x\"} 2\n\
        # HELP jobs_total Theirs.\n# TYPE jobs_total unknown\njobs_total{a=\"x\"} 2\n# EOF\n";
    assert_eq!(openmetrics(&exposition), expected);
}

#[test]
fn a_series_of_two_families_is_shown_once() {
    let exposition = Exposition::default();
    register(exposition.registry(), 2, "wait", None);
    register(exposition.registry(), 1, "wait_count", None);
    for (page, unknown) in [
        (page(&exposition), "untyped"),
        (openmetrics(&exposition), "unknown"),
    ] {
        for name in ["wait_bucket", "wait_count", "wait_sum"] {
            let head = format!("# TYPE {name} {unknown}\n");
            assert_eq!(page.matches(&head).count(), 1, "{page}");
        }
        assert_eq!(page.matches("\nwait_count ").count(), 1, "{page}");
        assert!(page.contains("\nwait_count 1\n"), "{page}");
    }
}
