//! Both formats of a page, compared with the prometheus crate.

use grpc_prometheus::{Buckets, CodeLabel, Exposition, ServerMetrics};
use prometheus::{
    Counter, CounterVec, Gauge, Histogram, HistogramOpts, Opts, Registry, TextEncoder,
};

use crate::{
    echo::echo_descriptor_set,
    expect::page,
    names::{U, fixture, fresh},
};

// M12: our text equals that of the prometheus crate.
#[tokio::test]
async fn the_text_is_that_of_the_prometheus_crate() {
    let mut fixture = fixture(|builder| {
        let builder = builder.message_sizes(Buckets::A66Bytes);
        builder
            .const_label("app", "x")
            .code_on_histogram(CodeLabel::OkError)
    });
    let counter = CounterVec::new(Opts::new("jobs_total", "Jobs \\ done\nso far."), &["kind"]);
    let counter = counter.unwrap();
    counter.with_label_values(&["a\"b"]).inc_by(2.5);
    let gauge = Gauge::new("temperature", "Now.").unwrap();
    gauge.set(f64::NEG_INFINITY);
    let histogram = Histogram::with_opts(HistogramOpts::new("wait_seconds", "Waits.")).unwrap();
    histogram.observe(0.3);
    let _open = fixture.server.connection(());
    fixture
        .exposition
        .registry()
        .register(Box::new(counter))
        .unwrap();
    fixture
        .exposition
        .registry()
        .register(Box::new(histogram))
        .unwrap();
    fixture.echo.unary("head").await.unwrap();
    fixture.echo.unary("err5").await.unwrap_err();
    let gathered = fixture.exposition.registry().gather();
    let expected = TextEncoder::new().encode_to_string(&gathered).unwrap();
    let mut expected: Vec<_> = expected.lines().collect();
    let written = page(&fixture.exposition);
    let mut written: Vec<_> = written.lines().collect();
    // `gather` sorts series by label values, we by method and code.
    expected.sort_unstable();
    written.sort_unstable();
    assert_eq!(written, expected);
    fixture
        .exposition
        .registry()
        .register(Box::new(gauge))
        .unwrap();
    assert!(page(&fixture.exposition).contains("\ntemperature -Inf\n"));
}

// M24
#[test]
fn a_registrys_prefix_and_labels_are_on_our_series() {
    let labels = [("host".to_owned(), "h\"1".to_owned())].into();
    let registry = Registry::new_custom(Some("pre".into()), Some(labels)).unwrap();
    let exposition = Exposition::new(&registry);
    let builder = ServerMetrics::builder().descriptor_set(&echo_descriptor_set());
    let metrics = builder.register(&exposition).unwrap();
    let _open = metrics.connection(());
    let gathered = TextEncoder::new().encode_to_string(&exposition.registry().gather());
    let gathered = gathered.unwrap();
    let mut expected: Vec<_> = gathered.lines().collect();
    let written = page(&exposition);
    let mut written: Vec<_> = written.lines().collect();
    expected.sort_unstable();
    written.sort_unstable();
    assert_eq!(written, expected);
    assert!(written.contains(&"pre_grpc_server_connections{host=\"h\\\"1\"} 1"));
}

#[test]
fn openmetrics_names_families_without_total_and_ends() {
    let exposition = fresh(|builder| builder.message_sizes(Buckets::A66Bytes));
    let jobs = Counter::new("jobs_total", "Jobs \"done\".").unwrap();
    exposition.registry().register(Box::new(jobs)).unwrap();
    let (content_type, page) = exposition.encode(Some(
        "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;q=0.3",
    ));
    assert_eq!(
        content_type,
        "application/openmetrics-text; version=1.0.0; charset=utf-8"
    );
    assert!(page.contains("# TYPE grpc_server_started counter\n"));
    assert!(page.contains(&format!("\ngrpc_server_started_total{{{U}}} 0\n")));
    assert!(page.contains("# HELP jobs Jobs \\\"done\\\".\n# TYPE jobs counter\njobs_total 0\n"));
    assert!(page.contains(&format!("_bucket{{{U},le=\"1.0\"}} 0\n")));
    assert!(page.contains(&format!("_bucket{{{U},le=\"4.294967296e+09\"}} 0\n")));
    assert!(page.ends_with("\n# EOF\n"));
}
