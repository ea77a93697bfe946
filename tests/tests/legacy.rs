//! Calls under the names of older systems: answered by the same code, counted under those names.
#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::net::SocketAddr;

use futures_util::{StreamExt, TryStreamExt, stream};
use http::Request;
use http::uri::PathAndQuery;
use prost::Message;
use tokio::sync::oneshot;
use tonic::client::Grpc;
use tonic::codec::CompressionEncoding;
use tonic::transport::Endpoint;
use tonic::{Code, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tonic_prost::ProstCodec;
use vitalmesh_proto::bookstore::v1::bookstore_service_client::BookstoreServiceClient;
use vitalmesh_proto::bookstore::v1::{
    Book, CreateBookRequest, ListBooksRequest, RetrieveBookRequest,
};
use vitalmesh_proto::counter::v1::{
    IncreaseRequest, IncreaseResponse, IncreaseStreamRequest, IncreaseStreamResponse,
};
use vitalmesh_proto::heartbeat::v1::{BeatHeartRequest, BeatHeartResponse};
use vitalmesh_proto::revert_name::v1::{RevertNameRequest, RevertNameResponse};
use vitalmesh_proto::time::v1::{WhatTimeIsRequest, WhatTimeIsResponse};
use vitalmesh_tests::{
    Mesh, Program, bookstore, channel, counter, eventually_eq, revert_name, scrape, send,
};

const REVERT: &str = "/dj.grpc.revert_name.RevertApi/RevertName";
const TIME: &str = "/dj.grpc.time.TimeProcedureApi/WhatTimeIs";
const LIST_BOOK: &str = "/BookController/ListBook";
const CREATE_BOOK: &str = "/BookController/CreateBook";
const RETRIEVE_BOOK: &str = "/BookController/RetrieveBook";
const TO_RUST: &str = "/python_to_rust_simple.PythonToRustSimpleService/increase";
const TO_PYTHON: &str = "/python_to_python_simple.Simple_python_python/increase";
const TWO_WAY: &str = "/python_to_python_two_way_stream.Two_way_stream_python_to_python/increase";
const BEAT: &str = "/dj.grpc.heartbeat.HeartBeatApi/BeatHeart";

/// One unary call to any path.
async fn call<Req, Res>(
    address: SocketAddr,
    path: &'static str,
    request: Req,
) -> Result<Res, Status>
where
    Req: Message + 'static,
    Res: Message + Default + 'static,
{
    let mut grpc = Grpc::new(channel(address));
    grpc.ready().await.unwrap();
    let path = PathAndQuery::from_static(path);
    let codec = ProstCodec::<Req, Res>::default();
    let answer = grpc.unary(tonic::Request::new(request), path, codec).await;
    answer.map(tonic::Response::into_inner)
}

async fn revert(address: SocketAddr, name: &str) -> Result<String, Status> {
    let request = RevertNameRequest {
        name: name.to_owned(),
        delay: 0,
    };
    let answer: RevertNameResponse = call(address, REVERT, request).await?;
    Ok(answer.name)
}

/// As an old client sends it: without an id.
const fn number(num: i32) -> IncreaseStreamRequest {
    IncreaseStreamRequest { num, request_id: 0 }
}

/// The calls that a service has ended under a name, with `code`.
async fn handled(scrape_address: SocketAddr, path: &str, code: &str) -> Option<f64> {
    let (service, method) = path[1..].split_once('/').unwrap();
    let series = format!(
        "grpc_server_handled_total{{grpc_code=\"{code}\",grpc_method=\"{method}\",\
         grpc_service=\"{service}\",grpc_type=\"unary\"}}"
    );
    scrape(scrape_address).await.value(&series)
}

#[tokio::test]
async fn an_old_name_is_answered_by_the_new_code_and_counted_under_itself() {
    let mesh = Mesh::start().await;
    let (edge, time) = (mesh.edge.addresses(), mesh.time.addresses());
    let revert_name = mesh.revert_name.addresses();
    for (port, path) in [(edge, BEAT), (revert_name, REVERT), (time, TIME)] {
        assert_eq!(handled(port.scrape, path, "OK").await, Some(0.0), "{path}");
    }

    assert_eq!(
        revert(revert_name.grpc, "Rene\u{301}").await.unwrap(),
        "e\u{301}neR"
    );
    let told: WhatTimeIsResponse = call(time.grpc, TIME, WhatTimeIsRequest {}).await.unwrap();
    assert_eq!(told.time.len(), "2026-11-21T12:00:00.000000+00:00".len());
    let beat = BeatHeartRequest {
        service_name: "an-old-one".to_owned(),
        ..BeatHeartRequest::default()
    };
    let _: BeatHeartResponse = call(edge.grpc, BEAT, beat).await.unwrap();
    let page = scrape(edge.scrape).await;
    let beats = page.value("mesh_heartbeats_received_total{service=\"an-old-one\"}");
    assert_eq!(beats, Some(1.0));

    for (port, path) in [(edge, BEAT), (revert_name, REVERT), (time, TIME)] {
        eventually_eq(Some(1.0), async || handled(port.scrape, path, "OK").await).await;
    }
    let new = "/vitalmesh.revert_name.v1.RevertNameService/RevertName";
    assert_eq!(handled(revert_name.scrape, new, "OK").await, Some(0.0));
}

#[tokio::test]
async fn an_error_under_an_old_name_is_the_same_error() {
    let leaf = revert_name(&[]).start().await.unwrap();
    let addresses = leaf.addresses();
    let status = revert(addresses.grpc, "not_found").await.unwrap_err();
    assert_eq!(status.code(), Code::NotFound);
    assert!(status.message().starts_with("fault on demand"), "{status}");
    let status = revert(addresses.grpc, "exception").await.unwrap_err();
    assert_eq!(status.code(), Code::Internal);
    for code in ["NotFound", "Internal"] {
        let counted = async || handled(addresses.scrape, REVERT, code).await;
        eventually_eq(Some(1.0), counted).await;
    }
}

#[tokio::test]
async fn an_old_book_is_stored_where_the_new_ones_are() {
    let data = tempfile::tempdir().unwrap();
    let books = bookstore(data.path(), &[]).start().await.unwrap();
    let addresses = books.addresses();
    let draft = CreateBookRequest {
        author: "Ada Lovelace".to_owned(),
        link: "https://example.com/notes".to_owned(),
        pages: 66,
        title: "Notes".to_owned(),
        year: 1843,
        ..CreateBookRequest::default()
    };
    let stored: Book = call(addresses.grpc, CREATE_BOOK, draft).await.unwrap();
    let request = RetrieveBookRequest {
        book_id: stored.book_id,
    };
    let old: Book = call(addresses.grpc, RETRIEVE_BOOK, request).await.unwrap();
    let mut client = BookstoreServiceClient::new(channel(addresses.grpc));
    let new = client.retrieve_book(request).await.unwrap().into_inner();
    assert_eq!((&old, &new), (&stored, &stored));
    let missing = RetrieveBookRequest { book_id: i32::MAX };
    let answer = call::<_, Book>(addresses.grpc, RETRIEVE_BOOK, missing).await;
    assert_eq!(answer.unwrap_err().code(), Code::NotFound);

    let mut grpc = Grpc::new(channel(addresses.grpc));
    grpc.ready().await.unwrap();
    let request = tonic::Request::new(ListBooksRequest {
        start: Some(1843),
        end: Some(1843),
    });
    let path = PathAndQuery::from_static(LIST_BOOK);
    let listed = grpc.server_streaming(request, path, ProstCodec::<_, Book>::default());
    let listed: Vec<_> = listed
        .await
        .unwrap()
        .into_inner()
        .try_collect()
        .await
        .unwrap();
    assert!(listed.contains(&stored), "{listed:?}");
    for (path, code, calls) in [
        (CREATE_BOOK, "OK", 1.0),
        (RETRIEVE_BOOK, "OK", 1.0),
        (RETRIEVE_BOOK, "NotFound", 1.0),
    ] {
        let counted = async || handled(addresses.scrape, path, code).await;
        eventually_eq(Some(calls), counted).await;
    }
}

#[tokio::test]
async fn both_old_ways_to_increase_one_number_answer_the_next() {
    let counter = counter(&[]).start().await.unwrap();
    let addresses = counter.addresses();
    for path in [TO_RUST, TO_PYTHON] {
        let next = async |num| -> Result<i32, Status> {
            let answer: IncreaseResponse =
                call(addresses.grpc, path, IncreaseRequest { num }).await?;
            Ok(answer.num)
        };
        assert_eq!(next(41).await.unwrap(), 42);
        assert_eq!(next(i32::MAX).await.unwrap_err().code(), Code::OutOfRange);
        for code in ["OK", "OutOfRange"] {
            let counted = async || handled(addresses.scrape, path, code).await;
            eventually_eq(Some(1.0), counted).await;
        }
    }
}

#[tokio::test]
async fn the_old_two_way_stream_answers_in_order_without_ids_and_in_gzip() {
    let counter = counter(&[]).start().await.unwrap();
    let numbers = (0..1000).map(number);
    let mut grpc = Grpc::new(channel(counter.addresses().grpc))
        .send_compressed(CompressionEncoding::Gzip)
        .accept_compressed(CompressionEncoding::Gzip);
    grpc.ready().await.unwrap();
    let codec = ProstCodec::<_, IncreaseStreamResponse>::default();
    let path = PathAndQuery::from_static(TWO_WAY);
    let requests = tonic::Request::new(stream::iter(numbers));
    let answers = grpc.streaming(requests, path, codec).await.unwrap();
    assert_eq!(answers.metadata().get("grpc-encoding").unwrap(), "gzip");
    let answers: Vec<_> = answers.into_inner().try_collect().await.unwrap();
    let expected = (1..=1000).map(|num| IncreaseStreamResponse {
        num,
        ..IncreaseStreamResponse::default()
    });
    assert_eq!(answers, expected.collect::<Vec<_>>());
}

#[tokio::test]
async fn a_client_that_sends_long_before_it_reads_is_slowed_down_and_not_cut() {
    let counter = counter(&[]).start().await.unwrap();
    // More than h2 lets wait unread in its default settings, beyond what the client's own window
    // of 64 KiB lets the server answer, and less than fills the stream's.
    const COUNT: i32 = 14_000;
    let (sent, all_sent) = oneshot::channel();
    let numbers = stream::iter(0..COUNT).then(async |num| {
        // Else the encoder would put many messages into one frame.
        tokio::task::yield_now().await;
        number(num)
    });
    let numbers = numbers.chain(stream::once(async move {
        sent.send(()).unwrap();
        number(COUNT)
    }));
    let endpoint = Endpoint::try_from(format!("http://{}", counter.addresses().grpc)).unwrap();
    let endpoint = endpoint
        .initial_stream_window_size(64 << 10)
        .initial_connection_window_size(8 << 20);
    let mut grpc = Grpc::new(endpoint.connect().await.unwrap());
    grpc.ready().await.unwrap();
    let codec = ProstCodec::<_, IncreaseStreamResponse>::default();
    let path = PathAndQuery::from_static(TWO_WAY);
    let answers = grpc.streaming(tonic::Request::new(numbers), path, codec);
    let answers = answers.await.unwrap().into_inner();
    all_sent.await.unwrap();
    let told: Result<Vec<_>, _> = answers.map_ok(|answer| answer.num).try_collect().await;
    assert_eq!(told.unwrap(), (1..=COUNT + 1).collect::<Vec<_>>());
}

#[tokio::test]
async fn what_is_no_grpc_call_is_refused_under_an_old_name_too() {
    let leaf = revert_name(&[]).start().await.unwrap();
    let get = send(leaf.addresses().grpc, Request::get(REVERT))
        .await
        .unwrap();
    assert_eq!(get.status, 405);
    let form = Request::post(REVERT).header("content-type", "text/plain");
    assert_eq!(send(leaf.addresses().grpc, form).await.unwrap().status, 415);
}

#[tokio::test]
async fn a_method_that_an_old_service_never_had_is_unimplemented() {
    let leaf = revert_name(&[]).start().await.unwrap();
    let path = "/dj.grpc.revert_name.RevertApi/Revert";
    let answer = call::<_, RevertNameResponse>(leaf.addresses().grpc, path, ()).await;
    assert_eq!(answer.unwrap_err().code(), Code::Unimplemented);
}

#[tokio::test]
async fn health_knows_old_names_and_off_takes_them_away_everywhere() {
    for (switch, health, calls) in [
        ("on", Code::Ok, Code::Ok),
        ("off", Code::NotFound, Code::Unimplemented),
    ] {
        let leaf = revert_name(&["--legacy-names", switch]);
        let leaf = leaf.start().await.unwrap();
        let service = "dj.grpc.revert_name.RevertApi".to_owned();
        let mut client = HealthClient::new(channel(leaf.addresses().grpc));
        let checked = client.check(HealthCheckRequest { service }).await;
        assert_eq!(
            checked.map_or_else(|status| status.code(), |_| Code::Ok),
            health
        );
        let answer = revert(leaf.addresses().grpc, "Ana").await;
        assert_eq!(
            answer.map_or_else(|status| status.code(), |_| Code::Ok),
            calls
        );
        let zeros = handled(leaf.addresses().scrape, REVERT, "OK").await;
        assert_eq!(zeros.is_some(), switch == "on");
    }
}

#[tokio::test]
async fn a_log_line_shows_the_name_that_the_client_used() {
    let program = Program::service("revert-name", &[]);
    let address = program.address("grpc").await;
    revert(address, "internal").await.unwrap_err();
    let line = program.logged("call ended").await;
    assert_eq!(line["method"], REVERT);
    assert_eq!(line["code"], "Internal");
}
