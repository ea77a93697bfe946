//! Ends a call whose peer takes nothing of its answer, some time after the call's deadline.
//!
//! hyper asks a body for its next frame when the peer has room for one. While the peer reads
//! nothing, nobody asks, and the deadline inside of the body is never looked at.

use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use pin_project_lite::pin_project;
use tokio::time::{Instant, Sleep, sleep_until};

use super::activity::{Activity, OpenCall};

/// How long after its deadline a call may take to end in order, with a status.
const GRACE: Duration = Duration::from_secs(1);

tokio::task_local! {
    static DEADLINE: Cell<Option<Instant>>;
}

/// Says when the call that the running task answers should have ended. Does nothing on HTTP/1,
/// where a connection is one task for all its calls.
pub(super) fn expect_end(deadline: Option<Instant>) {
    let _ = DEADLINE.try_with(|current| current.set(deadline));
}

/// Runs the calls of an HTTP/2 connection, one task each.
#[derive(Clone, Debug)]
pub(super) struct CallExecutor(pub(super) Activity);

pin_project! {
    /// A call, dropped when it is overdue: its stream is reset with CANCEL.
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
    async fn a_call_that_hangs_in_its_body_is_dropped_a_second_after_its_deadline() {
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
    async fn a_call_that_ends_or_has_no_deadline_is_left_alone() {
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
