//! The state that the callers share with the stream: the calls in flight, and which stream carries
//! them.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use tokio::sync::{Semaphore, watch};
use tokio::time::Instant;
use tonic::Status;

use crate::slots::{NoWaiter, Slots};
use crate::stream_task::StreamTask;
use crate::{Protocol, Settings, Stats};

/// Shared by the callers and both directions of the stream. The lock covers state changes alone:
/// wakers are called, and ids read and written, without it.
pub(crate) struct Multiplexer<P: Protocol> {
    protocol: P,
    settings: Settings,
    /// One permit per call in flight.
    permits: Semaphore,
    state: Mutex<State<P>>,
}

struct State<P: Protocol> {
    slots: Slots<P::Request, P::Response>,
    phase: Phase,
    /// The number of the current stream, or of the next one. Events of earlier streams are ignored.
    stream: u64,
    /// Whether the current stream has had a response.
    has_response: bool,
    /// Consecutive streams without a response.
    failures: u32,
    /// The transport, where it waits for a request.
    transport: Option<Waker>,
    unmatched: u64,
}

enum Phase {
    /// No stream; the next call opens one.
    Idle,
    /// A task opens or reads one.
    Running,
    /// The last stream ended. The next one opens after `until`, or never where that is `None`.
    Ended {
        until: Option<Instant>,
        status: Status,
    },
}

// === impl Multiplexer ===

impl<P: Protocol> Multiplexer<P> {
    pub(crate) fn new(protocol: P, settings: Settings) -> Self {
        Self {
            protocol,
            settings,
            permits: Semaphore::new(settings.max_in_flight.max(1).into()),
            state: Mutex::new(State {
                slots: Slots::new(),
                phase: Phase::Idle,
                stream: 1,
                has_response: false,
                failures: 0,
                transport: None,
                unmatched: 0,
            }),
        }
    }

    pub(crate) const fn protocol(&self) -> &P {
        &self.protocol
    }

    pub(crate) const fn settings(&self) -> &Settings {
        &self.settings
    }

    pub(crate) const fn permits(&self) -> &Semaphore {
        &self.permits
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

    /// Queues a request and returns its id. Opens a stream where there is none and one may open.
    pub(crate) fn begin(
        self: &Arc<Self>,
        request: P::Request,
        alive: &watch::Sender<()>,
    ) -> Result<u64, Status> {
        let mut state = self.state();
        let needs_stream = state.phase.needs_stream()?;
        let full = || Status::resource_exhausted("every slot is taken");
        let id = state.slots.insert(request).ok_or_else(full)?;
        let number = state.stream;
        if needs_stream {
            state.phase = Phase::Running;
            state.has_response = false;
        }
        let transport = state.transport.take();
        drop(state);
        if needs_stream {
            let stream = StreamTask::new(Arc::clone(self), number);
            tokio::spawn(stream.run(alive.subscribe()));
        }
        wake(transport);
        Ok(id)
    }

    pub(crate) fn poll_response(
        &self,
        id: u64,
        cx: &Context<'_>,
    ) -> Poll<Result<P::Response, Status>> {
        self.state().slots.poll(id, cx)
    }

    /// Frees the slot of a dropped call. Does nothing after the call has ended.
    pub(crate) fn cancel(&self, id: u64) {
        self.state().slots.remove(id);
    }

    pub(crate) fn poll_request(&self, stream: u64, cx: &Context<'_>) -> Poll<Option<P::Request>> {
        let mut state = self.state();
        if state.stream != stream {
            return Poll::Ready(None);
        }
        let Some((id, mut request)) = state.slots.next_request() else {
            state.transport = Some(cx.waker().clone());
            return Poll::Pending;
        };
        drop(state);
        P::set_id(&mut request, id);
        Poll::Ready(Some(request))
    }

    /// Passes a response to its call, or counts it as unmatched.
    pub(crate) fn respond(&self, response: P::Response) {
        let id = P::id(&response);
        let mut state = self.state();
        state.has_response = true;
        match state.slots.respond(id, response) {
            Ok(caller) => {
                drop(state);
                wake(caller);
            }
            Err(NoWaiter) => state.unmatched += 1,
        }
    }

    /// Ends the requests of a stream. Its responses may still arrive.
    pub(crate) fn end_requests(&self, stream: u64) {
        let mut state = self.state();
        if state.stream == stream {
            state.stream += 1;
            state.phase = Phase::Idle;
        }
        let transport = state.transport.take();
        drop(state);
        wake(transport);
    }

    /// Fails every call without a response, and sets when the next stream may open.
    pub(crate) fn end_stream(&self, stream: u64, status: &Status) {
        let mut state = self.state();
        if state.stream != stream {
            return;
        }
        state.stream += 1;
        state.failures = match state.has_response {
            true => 0,
            false => state.failures.saturating_add(1),
        };
        let pause = self.settings.reconnect.pause(state.failures);
        state.phase = Phase::Ended {
            until: pause.map(|pause| Instant::now() + pause),
            status: status.clone(),
        };
        let callers = state.slots.fail_all(status);
        let transport = state.transport.take();
        drop(state);
        wake(callers.into_iter().chain(transport));
    }
}

fn wake(wakers: impl IntoIterator<Item = Waker>) {
    wakers.into_iter().for_each(Waker::wake);
}

// === impl Phase ===

impl Phase {
    /// Whether a call has to open a stream.
    ///
    /// # Errors
    ///
    /// The status of the last stream, where the next one may not open yet.
    fn needs_stream(&self) -> Result<bool, Status> {
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
