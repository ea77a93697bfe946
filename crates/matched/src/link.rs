//! What the callers, the requests and the answers of a stream share; and one stream from its
//! opening to its end.

use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures_util::StreamExt;
use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, timeout};
use tonic::Status;

use crate::slots::{NobodyWaits, Slots};
use crate::{Protocol, Requests, Settings, Stats};

/// How long a server may take to end a stream that nobody calls over any more.
const LINGER: Duration = Duration::from_secs(1);

/// Shared by the callers and by the stream's two ends. The lock is held for a look or a change;
/// nobody is woken under it, and no id is read or written.
pub(crate) struct Link<P: Protocol> {
    protocol: P,
    settings: Settings,
    /// A permit is a slot.
    room: Semaphore,
    state: Mutex<State<P>>,
}

struct State<P: Protocol> {
    slots: Slots<P::Request, P::Response>,
    phase: Phase,
    /// The number of the running stream, or of the next one. What an older one does is ignored.
    stream: u64,
    /// Whether the running stream has answered anything.
    answered: bool,
    /// Streams in a row that answered nothing.
    failures: u32,
    /// The transport, while it waits for a request.
    sender: Option<Waker>,
    unmatched: u64,
}

enum Phase {
    /// No stream; the next call opens one.
    Idle,
    /// A task opens or reads one.
    Running,
    /// The last one ended; no other is opened before `until`, or ever where that is `None`.
    Ended {
        until: Option<Instant>,
        status: Status,
    },
}

/// One stream. Whatever ends its task, a panic in the protocol or the runtime's end included, the
/// calls that wait are told.
struct Running<P: Protocol> {
    link: Arc<Link<P>>,
    stream: u64,
    status: Status,
}

// === impl Link ===

impl<P: Protocol> Link<P> {
    pub(crate) fn new(protocol: P, settings: Settings) -> Self {
        Self {
            protocol,
            settings,
            room: Semaphore::new(settings.in_flight.max(1).into()),
            state: Mutex::new(State {
                slots: Slots::new(),
                phase: Phase::Idle,
                stream: 1,
                answered: false,
                failures: 0,
                sender: None,
                unmatched: 0,
            }),
        }
    }

    pub(crate) const fn settings(&self) -> &Settings {
        &self.settings
    }

    pub(crate) const fn room(&self) -> &Semaphore {
        &self.room
    }

    pub(crate) fn stats(&self) -> Stats {
        let state = self.state();
        let running = u64::from(matches!(state.phase, Phase::Running));
        Stats {
            in_flight: state.slots.in_flight(),
            streams: state.stream - 1 + running,
            unmatched: state.unmatched,
        }
    }

    fn state(&self) -> MutexGuard<'_, State<P>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues a request, and opens a stream where there is none and may be one.
    pub(crate) fn begin(
        self: &Arc<Self>,
        request: P::Request,
        alive: &watch::Sender<()>,
    ) -> Result<u64, Status> {
        let mut state = self.state();
        let opens = state.phase.opens()?;
        let full = || Status::resource_exhausted("every slot is taken");
        let id = state.slots.insert(request).ok_or_else(full)?;
        let stream = state.stream;
        if opens {
            state.phase = Phase::Running;
            state.answered = false;
        }
        let sender = state.sender.take();
        drop(state);
        if opens {
            tokio::spawn(Arc::clone(self).run(stream, alive.subscribe()));
        }
        wake(sender);
        Ok(id)
    }

    pub(crate) fn poll_answer(
        &self,
        id: u64,
        cx: &Context<'_>,
    ) -> Poll<Result<P::Response, Status>> {
        self.state().slots.poll(id, cx)
    }

    /// Forgets a call that was dropped; one that has ended is forgotten already.
    pub(crate) fn leave(&self, id: u64) {
        self.state().slots.remove(id);
    }

    pub(crate) fn poll_request(&self, stream: u64, cx: &Context<'_>) -> Poll<Option<P::Request>> {
        let mut state = self.state();
        if state.stream != stream {
            return Poll::Ready(None);
        }
        let Some((id, mut request)) = state.slots.next_request() else {
            state.sender = Some(cx.waker().clone());
            return Poll::Pending;
        };
        drop(state);
        P::set_id(&mut request, id);
        Poll::Ready(Some(request))
    }

    /// Opens a stream and reads it until it ends, or for a little longer than anybody may call.
    async fn run(self: Arc<Self>, stream: u64, mut alive: watch::Receiver<()>) {
        let mut running = Running {
            link: Arc::clone(&self),
            stream,
            status: broken(Some(Status::unknown("its task was dropped"))),
        };
        let mut answers = pin!(self.read(stream));
        let ended = tokio::select! {
            ended = &mut answers => ended,
            _ = alive.changed() => {
                self.end_requests(stream);
                timeout(LINGER, answers).await.unwrap_or(Ok(()))
            }
        };
        running.status = broken(ended.err());
    }

    async fn read(self: &Arc<Self>, stream: u64) -> Result<(), Status> {
        let requests = Requests::new(Arc::clone(self), stream);
        let mut answers = pin!(self.protocol.open(requests).await?);
        while let Some(answer) = answers.next().await {
            self.answered(answer?);
        }
        Ok(())
    }

    fn answered(&self, answer: P::Response) {
        let id = P::id(&answer);
        let mut state = self.state();
        state.answered = true;
        match state.slots.answer(id, answer) {
            Ok(caller) => {
                drop(state);
                wake(caller);
            }
            Err(NobodyWaits) => state.unmatched += 1,
        }
    }

    /// Ends the requests of a stream whose answers may still come.
    fn end_requests(&self, stream: u64) {
        let mut state = self.state();
        if state.stream == stream {
            state.stream += 1;
            state.phase = Phase::Idle;
        }
        let sender = state.sender.take();
        drop(state);
        wake(sender);
    }

    /// Tells all who wait that the stream is over.
    fn ended(&self, stream: u64, status: &Status) {
        let mut state = self.state();
        if state.stream != stream {
            return;
        }
        state.stream += 1;
        state.failures = match state.answered {
            true => 0,
            false => state.failures.saturating_add(1),
        };
        let pause = self.settings.reconnect.pause(state.failures);
        state.phase = Phase::Ended {
            until: pause.map(|pause| Instant::now() + pause),
            status: status.clone(),
        };
        let callers = state.slots.fail_all(status);
        let sender = state.sender.take();
        drop(state);
        wake(callers.into_iter().chain(sender));
    }
}

fn wake(wakers: impl IntoIterator<Item = Waker>) {
    wakers.into_iter().for_each(Waker::wake);
}

/// What callers without an answer are told of a stream's end.
fn broken(status: Option<Status>) -> Status {
    let Some(status) = status else {
        return Status::unavailable("the stream ended before the answer");
    };
    let (code, message) = (status.code(), status.message());
    let message = format!("the stream ended before the answer: {code:?}, {message}");
    let mut told = Status::unavailable(message);
    told.set_source(Arc::new(status));
    told
}

// === impl Phase ===

impl Phase {
    /// Whether a call has to open a stream.
    fn opens(&self) -> Result<bool, Status> {
        match self {
            Self::Idle => Ok(true),
            Self::Running => Ok(false),
            Self::Ended { until, status } => match until {
                Some(until) if *until <= Instant::now() => Ok(true),
                _ => Err(status.clone()),
            },
        }
    }
}

// === impl Running ===

impl<P: Protocol> Drop for Running<P> {
    fn drop(&mut self) {
        self.link.ended(self.stream, &self.status);
    }
}
