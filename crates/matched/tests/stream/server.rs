//! A server that reorders, delays, duplicates, drops and breaks, as each request tells it.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::sleep;
use tonic::Status;
use vitalmesh_matched::{Matched, Protocol, Requests, Settings};

/// A request: what it is, and what the server does with it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ask {
    pub(crate) what: u64,
    pub(crate) id: u64,
    /// In milliseconds.
    pub(crate) delay: u64,
    /// One answer, unless it says otherwise.
    pub(crate) copies: Copies,
    /// The answer's id is this instead.
    pub(crate) under: Option<u64>,
    /// The stream ends here: with this status, or without one.
    pub(crate) end: Option<Option<Status>>,
}

/// How many answers more than one a request gets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Copies(pub(crate) i64);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) what: u64,
    id: u64,
}

/// Its clones are one server.
#[derive(Clone, Debug)]
pub(crate) struct Server {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    log: Mutex<Log>,
    /// Each request read takes one.
    reads: Semaphore,
}

/// What the server has seen.
#[derive(Clone, Debug, Default)]
pub(crate) struct Log {
    pub(crate) streams: u32,
    /// What was asked, in order.
    pub(crate) seen: Vec<u64>,
    pub(crate) ids: Vec<u64>,
    /// Requests read and not answered yet, and the most of them at once.
    pub(crate) open: usize,
    pub(crate) most: usize,
    /// Streams whose requests came to their end.
    pub(crate) ended: u32,
    /// Streams whose answers nobody reads any more.
    pub(crate) cancelled: u32,
    /// What opening a stream fails with.
    pub(crate) refuses: Option<Status>,
    pub(crate) panics: bool,
    /// Goes on answering nothing when the requests have ended.
    pub(crate) hangs: bool,
}

/// `None` is the end.
type Answers = mpsc::UnboundedSender<Option<Result<Told, Status>>>;

// === impl Copies ===

impl Copies {
    pub(crate) const NONE: Self = Self(-1);

    pub(crate) const fn count(self) -> u64 {
        (self.0 + 1) as u64
    }
}

// === impl Server ===

impl Server {
    pub(crate) fn new() -> Self {
        Self {
            shared: Arc::new(Shared {
                log: Mutex::default(),
                reads: Semaphore::new(Semaphore::MAX_PERMITS),
            }),
        }
    }

    /// A server that reads no request.
    pub(crate) fn that_does_not_read() -> Self {
        let server = Self::new();
        server.shared.reads.forget_permits(usize::MAX);
        server
    }

    /// Reads as many requests as come from now on.
    pub(crate) fn read(&self) {
        self.shared.reads.add_permits(1 << 20);
    }

    pub(crate) fn matched(&self, settings: Settings) -> Matched<Self> {
        Matched::new(self.clone(), settings)
    }

    pub(crate) fn log(&self) -> MutexGuard<'_, Log> {
        self.shared.log.lock().unwrap()
    }

    async fn serve(self, mut requests: Requests<Self>, answers: Answers) {
        loop {
            self.shared.reads.acquire().await.unwrap().forget();
            let ask = tokio::select! {
                ask = requests.next() => ask,
                () = answers.closed() => {
                    self.log().cancelled += 1;
                    return;
                }
            };
            let Some(ask) = ask else { break };
            self.see(&ask);
            match ask.end.clone() {
                Some(end) => {
                    answers.send(end.map(Err)).unwrap();
                    return;
                }
                None => {
                    tokio::spawn(self.clone().answer(ask, answers.clone()));
                }
            }
        }
        self.log().ended += 1;
        if self.log().hangs {
            answers.closed().await;
            self.log().cancelled += 1;
        }
    }

    fn see(&self, ask: &Ask) {
        let mut log = self.log();
        log.seen.push(ask.what);
        log.ids.push(ask.id);
        log.open += 1;
        log.most = log.most.max(log.open);
    }

    async fn answer(self, ask: Ask, answers: Answers) {
        if ask.delay > 0 {
            sleep(Duration::from_millis(ask.delay)).await;
        }
        self.log().open -= 1;
        let id = ask.under.unwrap_or(ask.id);
        for _ in 0..ask.copies.count() {
            // Fails where the stream is over, as an answer on the wire would.
            let _ = answers.send(Some(Ok(Told { what: ask.what, id })));
        }
    }
}

impl Protocol for Server {
    type Request = Ask;
    type Response = Told;
    type Responses = BoxStream<'static, Result<Told, Status>>;

    async fn open(&self, requests: Requests<Self>) -> Result<Self::Responses, Status> {
        self.log().streams += 1;
        let panics = self.log().panics;
        assert!(!panics, "on demand");
        if let Some(status) = self.log().refuses.clone() {
            return Err(status);
        }
        let (sender, receiver) = mpsc::unbounded_channel();
        tokio::spawn(self.clone().serve(requests, sender));
        let next = async |mut receiver: mpsc::UnboundedReceiver<_>| {
            Some((receiver.recv().await??, receiver))
        };
        Ok(stream::unfold(receiver, next).boxed())
    }

    fn set_id(request: &mut Ask, id: u64) {
        request.id = id;
    }

    fn id(response: &Told) -> u64 {
        response.id
    }

    fn result(response: Told) -> Result<Told, Status> {
        match response.what {
            u64::MAX => Err(Status::out_of_range("failed by its answer")),
            _ => Ok(response),
        }
    }
}

/// Asks for an answer at once.
pub(crate) fn ask(what: u64) -> Ask {
    Ask {
        what,
        ..Ask::default()
    }
}

/// Asks for an answer after this many milliseconds.
pub(crate) fn slow(what: u64, delay: u64) -> Ask {
    Ask { delay, ..ask(what) }
}
