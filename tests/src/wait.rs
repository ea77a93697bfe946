//! Waiting for what must become true, and never longer than a deadline.

use std::fmt::Debug;
use std::future::Future;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

/// How long anything may take on a machine that is busy with other tests.
const PATIENCE: Duration = Duration::from_secs(15);
const POLL: Duration = Duration::from_millis(10);

/// Polls `probe` until it finds something.
///
/// # Panics
///
/// When it finds nothing for 15 s.
pub async fn eventually<T>(what: &str, mut probe: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = probe().await {
            return found;
        }
        assert!(Instant::now() < deadline, "never happened: {what}");
        sleep(POLL).await;
    }
}

/// Polls `probe` until it gives `expected`.
///
/// # Panics
///
/// When it gives something else for 15 s: with the difference.
pub async fn eventually_eq<T: PartialEq + Debug>(expected: T, mut probe: impl AsyncFnMut() -> T) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let found = probe().await;
        if found == expected {
            return;
        }
        if Instant::now() >= deadline {
            assert_eq!(found, expected);
        }
        sleep(POLL).await;
    }
}

/// What `work` gives, and how long it took.
///
/// # Panics
///
/// When it takes longer than `limit`.
pub async fn within<T>(limit: Duration, work: impl Future<Output = T>) -> (T, Duration) {
    let begun = Instant::now();
    match timeout(limit, work).await {
        Ok(done) => (done, begun.elapsed()),
        Err(_) => panic!("took longer than {limit:?}"),
    }
}
