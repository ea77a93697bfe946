//! Peers that mean harm or are broken, against running ports. What takes real time runs at once.
#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{interval, timeout};
use tonic::Code;
use tonic::body::Body;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tower_service::Service;
use vitalmesh_chassis::Running;
use vitalmesh_proto::revert_name::v1::RevertNameRequest;
use vitalmesh_proto::revert_name::v1::revert_name_service_client::RevertNameServiceClient;
use vitalmesh_tests::{Wire, channel, edge, eventually, get, revert_name, scrape, send, within};

const METHOD: &str = "/vitalmesh.revert_name.v1.RevertNameService/RevertName";
const ENHANCE_YOUR_CALM: u32 = 11;
const REFUSED_STREAM: u32 = 7;
const PATIENCE: Duration = Duration::from_secs(10);

/// HTTP/2 frame by frame, without the rules.
struct Frames(TcpStream);

/// What the server said: type, stream and payload.
type Frame = (u8, u32, Vec<u8>);

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let head = [&length[1..], &[kind, flags], &stream.to_be_bytes()].concat();
    [&head, payload].concat()
}

/// A request's head without compression.
fn head(path: &str) -> Vec<u8> {
    let fields = [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", path),
        (":authority", "leaf"),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
    ];
    fields
        .iter()
        .flat_map(|(name, value)| field(name, value))
        .collect()
}

fn field(name: &str, value: &str) -> Vec<u8> {
    let mut field = vec![0];
    for text in [name, value] {
        field.push(u8::try_from(text.len()).unwrap());
        field.extend(text.as_bytes());
    }
    field
}

fn request(stream: u32) -> Vec<u8> {
    frame(HEADERS, END_HEADERS, stream, &head(METHOD))
}

/// The numbers of the first `count` streams of a client.
fn streams(count: u32) -> impl Iterator<Item = u32> {
    (0..count).map(|number| 2 * number + 1)
}

impl Frames {
    async fn connect(address: SocketAddr) -> Self {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream
            .write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
            .await
            .unwrap();
        stream.write_all(&frame(SETTINGS, 0, 0, &[])).await.unwrap();
        Self(stream)
    }

    async fn read(&mut self) -> Option<Frame> {
        let mut head = [0; 9];
        self.0.read_exact(&mut head).await.ok()?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; usize::try_from(length).unwrap()];
        self.0.read_exact(&mut payload).await.ok()?;
        Some((
            head[3],
            u32::from_be_bytes([head[5], head[6], head[7], head[8]]),
            payload,
        ))
    }

    /// The first frame of a type.
    async fn first(&mut self, wanted: u8) -> Frame {
        let read = async {
            loop {
                let (kind, stream, payload) = self.read().await.expect("the connection ended");
                if kind == wanted {
                    return (kind, stream, payload);
                }
            }
        };
        within(PATIENCE, read).await.0
    }

    /// Sends all this while reading, and gives the GOAWAY's code; `None` for none before the
    /// connection ends, or is silent for a second.
    async fn provoke(self, said: Vec<u8>) -> (Option<u32>, usize) {
        let (read, mut write) = self.0.into_split();
        let saying = tokio::spawn(async move {
            let _ = write.write_all(&said).await;
            write
        });
        let (mut read, mut resets, mut code) = (read, 0, None);
        loop {
            let mut head = [0; 9];
            let Ok(Ok(_)) = timeout(Duration::from_secs(1), read.read_exact(&mut head)).await
            else {
                break;
            };
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
            let mut payload = vec![0; usize::try_from(length).unwrap()];
            if read.read_exact(&mut payload).await.is_err() {
                break;
            }
            match head[3] {
                RST_STREAM => resets += 1,
                GOAWAY => code = Some(u32::from_be_bytes(payload[4..8].try_into().unwrap())),
                _ => {}
            }
        }
        saying.abort();
        (code, resets)
    }
}

async fn leaf(flags: &[&str]) -> Running {
    revert_name(flags).start().await.unwrap()
}

async fn revert(wire: &Wire, name: &str, delay: i32) -> Result<String, Code> {
    let mut client = RevertNameServiceClient::with_origin(wire.clone(), wire.origin());
    let name = name.to_owned();
    let answer = client.revert_name(RevertNameRequest { name, delay }).await;
    answer
        .map(|answer| answer.into_inner().name)
        .map_err(|status| status.code())
}

/// The service still answers others.
async fn assert_serves(leaf: &Running) {
    let wire = Wire::connect(leaf.addresses().grpc).await;
    assert_eq!(
        within(PATIENCE, revert(&wire, "Ana", 0)).await.0,
        Ok("anA".to_owned())
    );
}

#[tokio::test]
async fn peers_that_do_not_finish_what_they_say_are_closed() {
    let data = tempfile::tempdir().unwrap();
    let edge = edge(data.path(), &[]).start().await.unwrap();
    let addresses = edge.addresses();
    let ports = [addresses.grpc, addresses.http.unwrap(), addresses.scrape];
    let preface: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    let settings = [preface, &frame(SETTINGS, 0, 0, &[])].concat();
    let mut waits = Vec::new();
    for port in ports {
        for (said, limit) in [
            (b"".as_slice(), 5),
            (b"PRI * HTT", 5),
            (b"GET /proxy/Ana HTTP/1.1\r\nHost: a", 5),
            // A whole request and silence after its answer.
            (b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n", 5),
            // HTTP/2 that answers no PING: 10 s and then 5 s.
            (preface, 15),
            (&settings, 15),
        ] {
            waits.push((port, said.to_vec(), limit));
        }
    }
    let closed = waits.into_iter().map(|(port, said, limit)| async move {
        let mut peer = TcpStream::connect(port).await.unwrap();
        peer.write_all(&said).await.unwrap();
        let mut rest = Vec::new();
        let read = peer.read_to_end(&mut rest);
        let limit = Duration::from_secs(limit + 2);
        let closed = timeout(limit, read).await.is_ok();
        (String::from_utf8_lossy(&said).into_owned(), closed)
    });
    let open: Vec<_> = join_all(closed)
        .await
        .into_iter()
        .filter(|(_, closed)| !closed)
        .collect();
    assert!(open.is_empty(), "still open: {open:?}");
}

#[tokio::test]
async fn a_head_that_drips_is_closed_too() {
    let data = tempfile::tempdir().unwrap();
    let edge = edge(data.path(), &[]).start().await.unwrap();
    let peer = TcpStream::connect(edge.addresses().http.unwrap())
        .await
        .unwrap();
    let (mut read, mut write) = peer.into_split();
    let drip = tokio::spawn(async move {
        let mut pace = interval(Duration::from_millis(200));
        for byte in b"GET /proxy/Ana HTTP/1.1\r\n"
            .iter()
            .chain(std::iter::repeat(&b'a'))
        {
            pace.tick().await;
            if write.write_all(&[*byte]).await.is_err() {
                return;
            }
        }
    });
    let mut rest = Vec::new();
    let (_, took) = within(Duration::from_secs(7), read.read_to_end(&mut rest)).await;
    assert!(took > Duration::from_secs(4), "{took:?}");
    drip.abort();
}

async fn raw(wire: &Wire, request: http::request::Builder, body: &[u8]) -> Response<Incoming> {
    let body = Body::new(Full::new(Bytes::copy_from_slice(body)));
    let request = request.body(body).unwrap();
    within(PATIENCE, wire.clone().call(request))
        .await
        .0
        .unwrap()
}

fn post(wire: &Wire, content_type: &str) -> http::request::Builder {
    let uri = format!(
        "{}{METHOD}",
        wire.origin().to_string().trim_end_matches('/')
    );
    Request::post(uri)
        .header("content-type", content_type)
        .header("te", "trailers")
}

#[tokio::test]
async fn what_is_no_grpc_call_is_refused_before_the_handler() {
    let leaf = leaf(&[]).await;
    let wire = Wire::connect(leaf.addresses().grpc).await;
    let call = [0, 0, 0, 0, 5, 0x0a, 3, b'A', b'n', b'a'];
    for content_type in [
        "text/plain",
        "application/json",
        "application/x-www-form-urlencoded",
        "",
    ] {
        let answer = raw(&wire, post(&wire, content_type), &call).await;
        assert_eq!(answer.status(), 415, "{content_type}");
    }
    for method in ["GET", "PUT", "DELETE", "OPTIONS"] {
        let request = post(&wire, "application/grpc").method(method);
        let answer = raw(&wire, request, &call).await;
        assert_eq!(
            (answer.status().as_u16(), &answer.headers()["allow"]),
            (405, &"POST".parse().unwrap())
        );
    }
    let http1 = get(leaf.addresses().grpc, METHOD).await;
    assert_eq!((http1.status, http1.header("allow")), (405, "POST"));
    let answer = raw(&wire, post(&wire, "application/grpc"), &call).await;
    assert_eq!(answer.status(), 200);
}

#[tokio::test]
async fn a_message_that_is_none_is_a_status_and_not_the_end_of_the_connection() {
    let leaf = leaf(&[]).await;
    let wire = Wire::connect(leaf.addresses().grpc).await;
    for (what, body, code) in [
        (
            "a field cut short",
            [0, 0, 0, 0, 2, 0x0a, 9].as_slice(),
            Code::Internal,
        ),
        (
            "a name that is not UTF-8",
            &[0, 0, 0, 0, 3, 0x0a, 1, 0xff],
            Code::Internal,
        ),
        ("an unknown flag", &[7, 0, 0, 0, 0], Code::Internal),
        (
            "a compressed message without an encoding",
            &[1, 0, 0, 0, 0],
            Code::Internal,
        ),
    ] {
        let answer = raw(&wire, post(&wire, "application/grpc"), body).await;
        assert_eq!(answer.status(), 200);
        let status = tonic::Status::from_header_map(answer.headers()).unwrap();
        assert_eq!(status.code(), code, "{what}: {status}");
    }
    let zipped = post(&wire, "application/grpc").header("grpc-encoding", "gzip");
    let answer = raw(&wire, zipped, &[1, 0, 0, 0, 0]).await;
    let status = tonic::Status::from_header_map(answer.headers()).unwrap();
    assert_eq!(status.code(), Code::Unimplemented, "{status}");
    assert_eq!(revert(&wire, "Ana", 0).await, Ok("anA".to_owned()));
}

#[tokio::test]
async fn a_peer_that_makes_the_server_reset_streams_is_sent_away() {
    let leaf = leaf(&[]).await;
    // A window above 2^31 - 1 is an error of the stream, and the server's to reset.
    let overflow = |stream| frame(WINDOW_UPDATE, 0, stream, &0x7fff_ffff_u32.to_be_bytes());
    let said =
        |count| streams(count).flat_map(|stream| [request(stream), overflow(stream)].concat());
    let connection = Frames::connect(leaf.addresses().grpc).await;
    let (code, resets) = connection.provoke(said(3000).collect()).await;
    assert_eq!(code, Some(ENHANCE_YOUR_CALM));
    assert!(resets <= 1025, "{resets} resets");
    assert_serves(&leaf).await;

    let connection = Frames::connect(leaf.addresses().grpc).await;
    let (code, resets) = connection.provoke(said(200).collect()).await;
    assert_eq!((code, resets), (None, 200));
}

#[tokio::test]
async fn a_peer_that_opens_and_resets_streams_is_sent_away_or_costs_nothing() {
    let leaf = leaf(&[]).await;
    let reset = |stream| frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes());
    let burst = streams(20_000).flat_map(|stream| [request(stream), reset(stream)].concat());
    let connection = Frames::connect(leaf.addresses().grpc).await;
    let (code, _) = connection.provoke(burst.collect()).await;
    assert!(matches!(code, None | Some(ENHANCE_YOUR_CALM)), "{code:?}");
    assert_serves(&leaf).await;
    let page = scrape(leaf.addresses().scrape).await;
    let started = format!(
        "{{grpc_method=\"RevertName\",grpc_service=\"{}\",grpc_type=\"unary\"}}",
        "vitalmesh.revert_name.v1.RevertNameService"
    );
    let started = page
        .value(&format!("grpc_server_started_total{started}"))
        .unwrap();
    let ended = async || {
        let page = scrape(leaf.addresses().scrape).await;
        let of = page.of("grpc_server_handled_total{").into_iter();
        let ended: f64 = of.filter_map(|series| page.value(series)).sum();
        (ended >= started).then_some(())
    };
    eventually("every call that began has ended", ended).await;
}

#[tokio::test]
async fn floods_of_frames_end_in_a_goaway() {
    let leaf = leaf(&[]).await;
    let start = frame(HEADERS, 0, 1, &head(METHOD));
    let more = frame(CONTINUATION, 0, 1, &field("x", "y"));
    let empty = frame(DATA, 0, 1, &[]);
    for (what, said) in [
        ("CONTINUATION", [start, more.repeat(200)].concat()),
        ("empty DATA", [request(1), empty.repeat(5000)].concat()),
    ] {
        let connection = Frames::connect(leaf.addresses().grpc).await;
        let (code, _) = connection.provoke(said).await;
        assert_eq!(code, Some(ENHANCE_YOUR_CALM), "{what}");
    }
    let pings = frame(PING, 0, 0, b"12345678").repeat(20_000);
    let connection = Frames::connect(leaf.addresses().grpc).await;
    let (code, _) = connection.provoke(pings).await;
    assert_eq!(
        code, None,
        "PINGs cost nothing, so that they may be answered"
    );
    assert_serves(&leaf).await;
}

#[tokio::test]
async fn heads_that_are_too_long_are_431_or_414() {
    let data = tempfile::tempdir().unwrap();
    let edge = edge(data.path(), &[]).start().await.unwrap();
    let http = edge.addresses().http.unwrap();
    let long = Request::get("/heartbeats").header("x-long", "a".repeat(20_000));
    assert_eq!(send(http, long).await.unwrap().status, 431);
    let mut many = Request::get("/heartbeats");
    for number in 0..70 {
        many = many.header(format!("x-{number}"), "a");
    }
    assert_eq!(send(http, many).await.unwrap().status, 431);
    let path = Request::get(format!("/proxy/{}", "a".repeat(60_000)));
    let status = send(http, path).await.unwrap().status;
    assert!(matches!(status, 414 | 431), "{status}");

    let wire = Wire::connect(edge.addresses().grpc).await;
    let long = post(&wire, "application/grpc").header("x-long", "a".repeat(20_000));
    assert_eq!(raw(&wire, long, &[]).await.status(), 431);
}

#[tokio::test]
async fn a_connection_above_the_cap_waits_for_one_to_close() {
    let leaf = leaf(&["--max-connections", "2"]).await;
    let address = leaf.addresses().grpc;
    let (first, second) = (Wire::connect(address).await, Wire::connect(address).await);
    for wire in [&first, &second] {
        assert_eq!(revert(wire, "Ana", 0).await, Ok("anA".to_owned()));
    }
    let third = Wire::connect(address).await;
    let mut waiting = std::pin::pin!(revert(&third, "Ana", 0));
    let early = timeout(Duration::from_millis(300), &mut waiting).await;
    assert!(early.is_err(), "served above the cap: {early:?}");
    assert_eq!(revert(&second, "Bo", 0).await, Ok("oB".to_owned()));
    // The ports have a cap each: metrics stay in sight.
    assert_eq!(get(leaf.addresses().scrape, "/livez").await.status, 200);
    drop(first);
    assert_eq!(within(PATIENCE, waiting).await.0, Ok("anA".to_owned()));
}

#[tokio::test]
async fn a_stream_above_the_cap_is_refused_and_a_polite_client_queues() {
    let leaf = leaf(&["--max-streams", "2"]).await;
    let mut rude = Frames::connect(leaf.addresses().grpc).await;
    let (_, _, settings) = rude.first(SETTINGS).await;
    let mut settings = settings.chunks(6);
    assert!(
        settings.any(|setting| setting == [0, 3, 0, 0, 0, 2]),
        "MAX_CONCURRENT_STREAMS"
    );
    let requests: Vec<_> = streams(3).flat_map(request).collect();
    rude.0.write_all(&requests).await.unwrap();
    let (_, stream, payload) = rude.first(RST_STREAM).await;
    assert_eq!(
        (stream, payload),
        (5, REFUSED_STREAM.to_be_bytes().to_vec())
    );
    // The two before it are alive.
    rude.0
        .write_all(&frame(DATA, END_STREAM, 1, &[0, 0, 0, 0, 0]))
        .await
        .unwrap();
    assert_eq!(rude.first(HEADERS).await.1, 1);

    let polite = Wire::connect(leaf.addresses().grpc).await;
    // The cap is known with the first answer.
    assert_eq!(revert(&polite, "Ana", 0).await, Ok("anA".to_owned()));
    let calls = (0..10).map(|_| revert(&polite, "Ana", 0));
    assert_eq!(join_all(calls).await, vec![Ok("anA".to_owned()); 10]);
}

#[tokio::test]
async fn a_call_above_the_cap_is_refused_and_counted_while_health_answers() {
    let leaf = leaf(&["--max-calls", "1"]).await;
    let wire = Wire::connect(leaf.addresses().grpc).await;
    let labels = "grpc_method=\"RevertName\",\
                  grpc_service=\"vitalmesh.revert_name.v1.RevertNameService\",grpc_type=\"unary\"";
    let counted = async |series: String| {
        scrape(leaf.addresses().scrape)
            .await
            .value(&series)
            .unwrap_or_default()
    };
    let long = wire.clone();
    let long = tokio::spawn(async move { revert(&long, "Ana", 2).await });
    eventually("the long call has begun", async || {
        (counted(format!("grpc_server_started_total{{{labels}}}")).await == 1.0).then_some(())
    })
    .await;

    for _ in 0..3 {
        let (refused, took) = within(PATIENCE, revert(&wire, "Bo", 0)).await;
        assert_eq!(refused, Err(Code::ResourceExhausted));
        assert!(took < Duration::from_millis(500), "{took:?}");
    }
    let mut health = HealthClient::new(channel(leaf.addresses().grpc));
    let check = health.check(HealthCheckRequest::default()).await;
    assert_eq!(check.unwrap().into_inner().status, 1, "SERVING");
    assert_eq!(long.await.unwrap(), Ok("anA".to_owned()));

    let handled = |code| format!("grpc_server_handled_total{{grpc_code=\"{code}\",{labels}}}");
    for (series, count) in [
        (handled("ResourceExhausted"), 3.0),
        (handled("OK"), 1.0),
        (format!("grpc_server_started_total{{{labels}}}"), 4.0),
        ("mesh_calls_shed_total".to_owned(), 3.0),
    ] {
        assert_eq!(counted(series.clone()).await, count, "{series}");
    }
    assert_eq!(revert(&wire, "Bo", 0).await, Ok("oB".to_owned()));
}
