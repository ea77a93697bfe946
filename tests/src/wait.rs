//! Waits for conditions, with a deadline.

use std::fmt::Debug;
use std::future::Future;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

/// Long enough on a machine that is busy with other tests.
const DEADLINE: Duration = Duration::from_secs(15);
const POLL: Duration = Duration::from_millis(10);

/// Polls `probe` until it returns a value.
///
/// # Panics
///
/// It returns none for 15 s.
pub async fn eventually<T>(what: &str, mut probe: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + DEADLINE;
    loop {
        if let Some(found) = probe().await {
            return found;
        }
        assert!(Instant::now() < deadline, "never happened: {what}");
        sleep(POLL).await;
    }
}

/// Polls `probe` until it returns `expected`.
///
/// # Panics
///
/// It returns another value for 15 s. The message has the difference.
pub async fn eventually_eq<T: PartialEq + Debug>(expected: T, mut probe: impl AsyncFnMut() -> T) {
    let deadline = Instant::now() + DEADLINE;
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

/// The output of `work`, and how long it took.
///
/// # Panics
///
/// It takes longer than `limit`.
pub async fn within<T>(limit: Duration, work: impl Future<Output = T>) -> (T, Duration) {
    let begun = Instant::now();
    match timeout(limit, work).await {
        Ok(done) => (done, begun.elapsed()),
        Err(_) => panic!("took longer than {limit:?}"),
    }
}
