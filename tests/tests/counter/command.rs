//! `mesh count`.

use vitalmesh_tests::{Program, run};

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
