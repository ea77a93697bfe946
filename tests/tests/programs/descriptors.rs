//! A program without free file descriptors.

use std::time::Duration;

use tokio::net::TcpStream;
use vitalmesh_tests::Program;

#[tokio::test]
async fn a_program_without_descriptors_waits_for_one_without_spinning() {
    let time = Program::service("time", &["--edge-url", "http://127.0.0.1:9"]);
    let address = time.address("grpc").await;
    // The first heartbeat has closed its descriptors.
    time.logged("task failed").await;
    time.limit_descriptors(time.descriptors() + 3);
    let mut held = Vec::new();
    for _ in 0..20 {
        held.push(TcpStream::connect(address).await.unwrap());
    }
    time.logged("cannot accept connections, retrying").await;

    // Half a second in which every accept fails: stock tonic takes 50 of these ticks.
    let before = time.processor_ticks();
    tokio::time::sleep(Duration::from_millis(500)).await;
    let spent = time.processor_ticks() - before;
    assert!(spent <= 10, "{spent} ticks");

    held.clear();
    time.logged("accepting connections again").await;
    // Once each time that it ran out: for every third connection of the backlog at most.
    let warned = time.lines().into_iter();
    let warned = warned.filter(|line| line.contains("cannot accept"));
    assert!(warned.count() <= 7);
}
