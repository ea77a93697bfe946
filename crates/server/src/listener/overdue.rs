//! Resets a call whose peer stopped reading the response, one second after the call's deadline.
//!
//! hyper polls a body only while the peer's window has room. While the peer reads nothing, nobody
//! polls the body, so the deadline inside of it cannot fire.

use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use pin_project_lite::pin_project;
use tokio::time::{Instant, Sleep, sleep_until};

use super::activity::{Activity, OpenCall};

/// The time after its deadline in which a call can still end with a status.
const GRACE: Duration = Duration::from_secs(1);

tokio::task_local! {
    static DEADLINE: Cell<Option<Instant>>;
}

/// Sets the deadline of the running task's call. Does nothing on HTTP/1, where one task serves all
/// calls of a connection.
pub(super) fn expect_end(deadline: Option<Instant>) {
    let _ = DEADLINE.try_with(|current| current.set(deadline));
}

/// Spawns one task per call of an HTTP/2 connection.
#[derive(Clone, Debug)]
pub(super) struct CallExecutor(pub(super) Activity);

pin_project! {
    /// A call that is dropped when it is overdue, which resets its stream with CANCEL.
    #[derive(Debug)]
    struct Bounded<F> {
        #[pin]
        call: F,
        deadline: Option<Instant>,
        timer: Option<Pin<Box<Sleep>>>,
        open: OpenCall,
    }
}

// === impl CallExecutor ===

impl<F> hyper::rt::Executor<F> for CallExecutor
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, call: F) {
        // Ends with its call or its connection.
        tokio::spawn(Bounded::new(call, self.0.call()));
    }
}

// === impl Bounded ===

impl<F> Bounded<F> {
    const fn new(call: F, open: OpenCall) -> Self {
        Self {
            call,
            deadline: None,
            timer: None,
            open,
        }
    }
}

impl<F: Future<Output = ()>> Future for Bounded<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.project();
        let (polled, deadline) = DEADLINE.sync_scope(Cell::new(*this.deadline), || {
            let polled = this.call.poll(cx);
            (polled, DEADLINE.with(Cell::get))
        });
        *this.deadline = deadline;
        match (polled, deadline) {
            (Poll::Ready(()), _) => Poll::Ready(()),
            (Poll::Pending, None) => Poll::Pending,
            (Poll::Pending, Some(deadline)) => {
                let timer = || Box::pin(sleep_until(deadline + GRACE));
                this.timer.get_or_insert_with(timer).as_mut().poll(cx)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use tokio::time::{sleep, timeout};

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn bounded<F: Future<Output = ()>>(call: F) -> Bounded<F> {
        Bounded::new(call, Activity::default().call())
    }

    #[tokio::test(start_paused = true)]
    async fn a_stalled_call_is_dropped_one_second_after_its_deadline() {
        let begun = Instant::now();
        let hanging = bounded(async {
            sleep(SECOND).await;
            expect_end(Some(begun + 5 * SECOND));
            pending().await
        });
        assert!(timeout(60 * SECOND, hanging).await.is_ok());
        assert_eq!(begun.elapsed().as_secs(), 6);
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_that_completes_or_has_no_deadline_is_not_dropped() {
        let begun = Instant::now();
        bounded(async {
            expect_end(Some(begun + 5 * SECOND));
            sleep(SECOND).await;
        })
        .await;
        assert_eq!(begun.elapsed().as_secs(), 1);
        let endless = bounded(async {
            expect_end(None);
            pending().await
        });
        assert!(timeout(86_400 * SECOND, endless).await.is_err());
    }
}
