//! `mesh count`.

use vitalmesh_tests::{Program, Scrape, eventually, run, scrape};

const STARTED: &str = "grpc_server_started_total";
const HANDLED: &str = "grpc_server_handled_total";
const UNARY: &str = "grpc_method=\"Increase\"";
const STREAM: &str = "grpc_method=\"IncreaseStream\"";

#[tokio::test]
async fn mesh_count_counts_in_every_way() {
    let counter = Program::service("counter", &["--edge-url", "http://127.0.0.1:1"]);
    let url = format!("http://{}", counter.address("grpc").await);
    let rest_url = format!("http://{}", counter.address("http").await);
    for via in ["function", "rest", "unary", "stream", "matched"] {
        for (callers, printed) in [("1", "1 caller"), ("7", "7 callers")] {
            let words = [
                "count",
                "--to",
                "50",
                "--via",
                via,
                "--callers",
                callers,
                "--url",
                &url,
                "--rest-url",
                &rest_url,
            ];
            let output = run("mesh", &words, &[]).await;
            let line = String::from_utf8(output.stdout).unwrap();
            let expected = format!("counted to 50 via {via}, {printed}: ");
            assert!(
                line.starts_with(&expected) && line.ends_with(" a call\n"),
                "{line}"
            );
            assert_eq!(output.status.code(), Some(0));
        }
    }
}

#[tokio::test]
async fn mesh_count_ends_every_call_and_the_server_counts_ok_alone() {
    let counter = Program::service("counter", &["--heartbeat-cron", "off"]);
    let url = format!("http://{}", counter.address("grpc").await);
    let rest_url = format!("http://{}", counter.address("http").await);
    let metrics = counter.address("scrape").await;
    // The calls of each method: 20 unary ones, then a stream per caller, then one for all.
    for (via, [unary, streams]) in [
        ("function", [0.0, 0.0]),
        ("rest", [0.0, 0.0]),
        ("unary", [20.0, 0.0]),
        ("stream", [20.0, 3.0]),
        ("matched", [20.0, 4.0]),
    ] {
        let words = ["count", "--to", "20", "--via", via, "--callers", "3"];
        let addresses = ["--url", &url, "--rest-url", &rest_url];
        let output = run("mesh", &[&words[..], &addresses].concat(), &[]).await;
        assert_eq!(output.status.code(), Some(0), "{output:?}");

        let page = scrape(metrics).await;
        assert_eq!(counts(&page, STARTED, "", UNARY), unary, "{via}");
        assert_eq!(counts(&page, STARTED, "", STREAM), streams, "{via}");
        let page = eventually("the end of every call", async || {
            let page = scrape(metrics).await;
            let ended = |method| counts(&page, HANDLED, "", method);
            (ended(UNARY) == unary && ended(STREAM) == streams).then_some(page)
        })
        .await;
        let ok = |method| counts(&page, HANDLED, "grpc_code=\"OK\"", method);
        assert_eq!([ok(UNARY), ok(STREAM)], [unary, streams], "{via}");
    }
    let page = scrape(metrics).await;
    assert_eq!(
        counts(&page, "http_server_requests_total", "200", "/increase"),
        20.0
    );
    assert_eq!(
        counts(&page, "http_server_requests_total", "", "/increase"),
        20.0
    );
}

/// The sum of a family over the series with both of these in their labels.
fn counts(page: &Scrape, family: &str, label: &str, method: &str) -> f64 {
    let series = page.of(&format!("{family}{{")).into_iter();
    let wanted = series.filter(|series| series.contains(label) && series.contains(method));
    wanted.filter_map(|series| page.value(series)).sum()
}

#[tokio::test]
async fn mesh_count_without_a_counter_is_one_line_of_error() {
    let unreachable = format!("http://{}", vitalmesh_tests::free_address());
    for via in ["rest", "unary", "stream", "matched"] {
        let words = [
            "count",
            "--via",
            via,
            "--url",
            &unreachable,
            "--rest-url",
            &unreachable,
        ];
        let output = run("mesh", &words, &[]).await;
        let line = String::from_utf8(output.stderr).unwrap();
        assert!(
            line.starts_with(&format!("no counter at {unreachable}/: ")),
            "{line}"
        );
        assert!(line.ends_with("; start one with `mesh up`\n"), "{line}");
        assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0));
    }
}

#[tokio::test]
async fn mesh_count_without_a_way_says_which_flag_is_missing() {
    let output = run("mesh", &["count"], &[]).await;
    let line = String::from_utf8(output.stderr).unwrap();
    let expected =
        "mesh: the following required arguments were not provided: --via <VIA>; see --help\n";
    assert_eq!((line.as_str(), output.status.code()), (expected, Some(2)));
}
