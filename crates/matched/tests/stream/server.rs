//! A server that reorders, delays, duplicates and drops responses and ends streams, as each request
//! demands.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::sleep;
use tonic::Status;
use vitalmesh_matched::{Matched, Protocol, Requests, Settings};

/// A request, and how the server handles it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Request {
    pub(crate) number: u64,
    pub(crate) id: u64,
    /// Milliseconds until the response.
    pub(crate) delay: u64,
    /// How many responses it gets; one by default.
    pub(crate) copies: Copies,
    /// The id of the response, where it is not the request's.
    pub(crate) response_id: Option<u64>,
    /// Ends the stream, with this status or without one.
    pub(crate) end: Option<Option<Status>>,
}

/// The number of responses minus one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Copies(pub(crate) i64);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Response {
    pub(crate) number: u64,
    id: u64,
}

/// Clones are the same server.
#[derive(Clone, Debug)]
pub(crate) struct Server {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    log: Mutex<Log>,
    /// Reading a request takes a permit.
    reads: Semaphore,
}

/// What the server has recorded.
#[derive(Clone, Debug, Default)]
pub(crate) struct Log {
    pub(crate) streams: u32,
    /// The requests in order, by their numbers.
    pub(crate) received: Vec<u64>,
    pub(crate) ids: Vec<u64>,
    /// Requests without a response now, and their maximum so far.
    pub(crate) open: usize,
    pub(crate) max_open: usize,
    /// Streams whose requests have ended.
    pub(crate) ended: u32,
    /// Streams whose client has dropped the responses.
    pub(crate) cancelled: u32,
    /// The error of opening a stream.
    pub(crate) open_error: Option<Status>,
    pub(crate) panics: bool,
    /// Whether streams stay open after their requests have ended.
    pub(crate) hangs: bool,
}

/// `None` ends the stream.
type ResponseSender = mpsc::UnboundedSender<Option<Result<Response, Status>>>;

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

    /// A server that reads no requests until [`Self::read`].
    pub(crate) fn paused() -> Self {
        let server = Self::new();
        server.shared.reads.forget_permits(usize::MAX);
        server
    }

    /// Reads all requests from now on.
    pub(crate) fn read(&self) {
        self.shared.reads.add_permits(1 << 20);
    }

    pub(crate) fn matched(&self, settings: Settings) -> Matched<Self> {
        Matched::new(self.clone(), settings)
    }

    pub(crate) fn log(&self) -> MutexGuard<'_, Log> {
        self.shared.log.lock().unwrap()
    }

    async fn serve(self, mut requests: Requests<Self>, responses: ResponseSender) {
        loop {
            self.shared.reads.acquire().await.unwrap().forget();
            let request = tokio::select! {
                request = requests.next() => request,
                () = responses.closed() => {
                    self.log().cancelled += 1;
                    return;
                }
            };
            let Some(request) = request else { break };
            self.record(&request);
            match request.end.clone() {
                Some(end) => {
                    responses.send(end.map(Err)).unwrap();
                    return;
                }
                None => {
                    tokio::spawn(self.clone().respond(request, responses.clone()));
                }
            }
        }
        self.log().ended += 1;
        if self.log().hangs {
            responses.closed().await;
            self.log().cancelled += 1;
        }
    }

    fn record(&self, request: &Request) {
        let mut log = self.log();
        log.received.push(request.number);
        log.ids.push(request.id);
        log.open += 1;
        log.max_open = log.max_open.max(log.open);
    }

    async fn respond(self, request: Request, responses: ResponseSender) {
        if request.delay > 0 {
            sleep(Duration::from_millis(request.delay)).await;
        }
        self.log().open -= 1;
        let id = request.response_id.unwrap_or(request.id);
        for _ in 0..request.copies.count() {
            // Fails where the stream has ended, as a response on the wire would.
            let _ = responses.send(Some(Ok(Response {
                number: request.number,
                id,
            })));
        }
    }
}

impl Protocol for Server {
    type Request = Request;
    type Response = Response;
    type Responses = BoxStream<'static, Result<Response, Status>>;

    async fn open(&self, requests: Requests<Self>) -> Result<Self::Responses, Status> {
        self.log().streams += 1;
        let panics = self.log().panics;
        assert!(!panics, "on demand");
        if let Some(status) = self.log().open_error.clone() {
            return Err(status);
        }
        let (sender, receiver) = mpsc::unbounded_channel();
        tokio::spawn(self.clone().serve(requests, sender));
        let next = async |mut receiver: mpsc::UnboundedReceiver<_>| {
            Some((receiver.recv().await??, receiver))
        };
        Ok(stream::unfold(receiver, next).boxed())
    }

    fn set_id(request: &mut Request, id: u64) {
        request.id = id;
    }

    fn id(response: &Response) -> u64 {
        response.id
    }

    fn result(response: Response) -> Result<Response, Status> {
        match response.number {
            u64::MAX => Err(Status::out_of_range("failed by its response")),
            _ => Ok(response),
        }
    }
}

/// Gets a response at once.
pub(crate) fn request(number: u64) -> Request {
    Request {
        number,
        ..Request::default()
    }
}

/// Gets a response after `delay` milliseconds.
pub(crate) fn slow(number: u64, delay: u64) -> Request {
    Request {
        delay,
        ..request(number)
    }
}
