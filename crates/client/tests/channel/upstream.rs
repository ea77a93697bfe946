//! An upstream on loopback that records the requests which reach it.

use std::net::TcpListener;
use std::time::Duration;

use bytes::Bytes;
use grpc_prometheus::{ClientMetrics, Exposition};
use h2::RecvStream;
use h2::server::SendResponse;
use http::{HeaderMap, HeaderValue, Request, Response, Uri};
use tokio::sync::mpsc;
use tonic_health::pb::FILE_DESCRIPTOR_SET;
use tonic_health::pb::health_client::HealthClient;
use vitalmesh_client::Channel;
use vitalmesh_telemetry::Tracer;

/// How the upstream answers.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Answers {
    /// One message, SERVING, and status 0.
    Serving,
    /// One message, SERVING, and nothing more.
    NoEnd,
    Never,
}

/// What reaches the upstream.
#[derive(Debug)]
pub(crate) enum Event {
    Request {
        /// The number of the connection.
        connection: usize,
        headers: HeaderMap,
    },
    /// The client reset the stream of an unanswered request.
    Reset(h2::Reason),
    /// The client closed the connection of this number.
    Closed(usize),
}

#[derive(Debug)]
pub(crate) struct Upstream {
    uri: Uri,
    events: mpsc::UnboundedReceiver<Event>,
    exposition: Exposition,
    metrics: ClientMetrics,
}

// === impl Upstream ===

impl Upstream {
    pub(crate) fn start(answers: Answers) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let listener = tokio::net::TcpListener::from_std(listener).unwrap();
        let uri = format!("http://{}", listener.local_addr().unwrap());
        let (sender, events) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            for connection in 1.. {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(serve(stream, connection, answers, sender.clone()));
            }
        });
        let exposition = Exposition::default();
        let metrics = ClientMetrics::builder().descriptor_set(FILE_DESCRIPTOR_SET);
        Self {
            uri: uri.parse().unwrap(),
            events,
            metrics: metrics.register(&exposition).unwrap(),
            exposition,
        }
    }

    pub(crate) fn channel(&self, timeout: Duration) -> Channel {
        let uri = self.uri.clone();
        Channel::new(uri, timeout, self.metrics.layer(), Tracer::default())
    }

    pub(crate) fn client(&self, timeout: Duration) -> HealthClient<Channel> {
        HealthClient::new(self.channel(timeout))
    }

    pub(crate) async fn event(&mut self) -> Event {
        self.events.recv().await.unwrap()
    }

    /// The connection and the headers of the next request.
    pub(crate) async fn request(&mut self) -> (usize, HeaderMap) {
        loop {
            match self.event().await {
                Event::Request {
                    connection,
                    headers,
                } => break (connection, headers),
                Event::Closed(_) => {}
                Event::Reset(reason) => panic!("reset: {reason}"),
            }
        }
    }

    /// The ended calls: method, code and count.
    pub(crate) fn handled(&self) -> Vec<String> {
        let (_, page) = self.exposition.encode(None);
        let handled = page.lines().filter_map(|line| {
            let labels = line.strip_prefix("grpc_client_handled_total{")?;
            let (labels, count) = labels.rsplit_once(' ')?;
            let label = |name| {
                let mut pairs = labels.split(',');
                let value = pairs.find_map(|pair| pair.strip_prefix(name))?;
                Some(value.trim_matches(['=', '"', '}']))
            };
            let (method, code) = (label("grpc_method")?, label("grpc_code")?);
            (count != "0").then(|| format!("{method} {code} {count}"))
        });
        handled.collect()
    }
}

async fn serve(
    stream: tokio::net::TcpStream,
    connection: usize,
    answers: Answers,
    events: mpsc::UnboundedSender<Event>,
) {
    let mut serving = h2::server::handshake(stream).await.unwrap();
    while let Some(Ok((request, respond))) = serving.accept().await {
        tokio::spawn(answer(
            request,
            respond,
            connection,
            answers,
            events.clone(),
        ));
    }
    let _ = events.send(Event::Closed(connection));
}

async fn answer(
    request: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
    connection: usize,
    answers: Answers,
    events: mpsc::UnboundedSender<Event>,
) {
    let headers = request.headers().clone();
    events
        .send(Event::Request {
            connection,
            headers,
        })
        .unwrap();
    if let Answers::Never = answers {
        let reset = std::future::poll_fn(|cx| respond.poll_reset(cx)).await;
        let _ = reset.map(|reason| events.send(Event::Reset(reason)));
        return;
    }
    let head = Response::builder().header("content-type", "application/grpc");
    let mut body = respond
        .send_response(head.body(()).unwrap(), false)
        .unwrap();
    let serving = Bytes::from_static(&[0, 0, 0, 0, 2, 8, 1]);
    body.send_data(serving, false).unwrap();
    if let Answers::NoEnd = answers {
        let _ = std::future::poll_fn(|cx| body.poll_reset(cx)).await;
        return;
    }
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    body.send_trailers(trailers).unwrap();
}
