//! `mesh recommend`: the file that it writes, and its errors.
#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::fs;
use std::process::Output;

use vitalmesh_chassis::Running;
use vitalmesh_tests::{bookstore, free_address, run};

async fn start(flags: &[&str]) -> (Running, String, tempfile::TempDir) {
    let data = tempfile::tempdir().unwrap();
    let running = bookstore(data.path(), flags).start().await.unwrap();
    let url = format!("http://{}", running.addresses().grpc);
    (running, url, data)
}

async fn recommend(words: &[&str]) -> Output {
    let words: Vec<_> = ["recommend"].iter().chain(words).copied().collect();
    run("mesh", &words, &[]).await
}

fn assert_fails(output: &Output, code: i32, expected: &str) {
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{text}");
    assert!(text.contains(expected), "{text}");
    assert_eq!(text.trim_end().lines().count(), 1, "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_file_has_a_line_for_each_recommendation() {
    let (_running, url, data) = start(&[]).await;
    let file = data.path().join("list.txt");
    let to = file.to_str().unwrap();
    let output = recommend(&["5000", "--to", to, "--url", &url, "--user-id", "7"]).await;
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        text.starts_with(&format!("5000 recommendations in {to} after ")),
        "{text}"
    );
    let lines = fs::read_to_string(&file).unwrap();
    assert_eq!(lines.lines().count(), 5000);
    for (line, id) in lines.lines().zip(1..) {
        let (number, title) = line.split_once(", ").unwrap();
        assert_eq!(number, id.to_string());
        assert!(!title.is_empty());
    }
    recommend(&["5000", "--to", to, "--url", &url, "--user-id", "8"]).await;
    assert_ne!(fs::read_to_string(&file).unwrap(), lines);
}

#[tokio::test]
async fn an_unreachable_bookstore_is_an_error_and_leaves_no_file() {
    let data = tempfile::tempdir().unwrap();
    let file = data.path().join("list.txt");
    let url = format!("http://{}", free_address());
    let output = recommend(&["5", "--to", file.to_str().unwrap(), "--url", &url]).await;
    assert_fails(
        &output,
        1,
        &format!("no bookstore at {url}/: Connection refused"),
    );
    assert!(!file.exists());
}

#[tokio::test]
async fn an_invalid_count_is_a_usage_error() {
    for count in ["0", "-1", "10000001", "many", ""] {
        assert_fails(&recommend(&[count]).await, 2, "<N>");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_and_a_missing_folder_are_errors() {
    let (_running, url, data) = start(&[]).await;
    let output = recommend(&["100000", "--to", "/dev/full", "--url", &url]).await;
    assert_fails(
        &output,
        1,
        "cannot write /dev/full: No space left on device",
    );
    let missing = data.path().join("missing/list.txt");
    let output = recommend(&["5", "--to", missing.to_str().unwrap(), "--url", &url]).await;
    assert_fails(&output, 1, "No such file or directory");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_interrupted_stream_is_an_error_with_the_count_so_far() {
    let (_running, url, data) = start(&["--stream-timeout", "100ms"]).await;
    let file = data.path().join("list.txt");
    let output = recommend(&["10000000", "--to", file.to_str().unwrap(), "--url", &url]).await;
    assert_fails(&output, 1, "list.txt is incomplete");
    let text = String::from_utf8(output.stderr).unwrap();
    let lines = fs::read_to_string(&file).unwrap().lines().count();
    assert!(
        text.contains(&format!("after {lines} of 10000000")),
        "{text}, {lines} lines"
    );
}
