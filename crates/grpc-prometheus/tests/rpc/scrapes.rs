//! Responses to scrapes: formats, coding, methods and paths.

use std::{convert::Infallible, io::Read};

use axum::Router;
use bytes::Bytes;
use flate2::read::GzDecoder;
use grpc_prometheus::{Exposition, PageBody, ServerMetrics};
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode,
    header::{
        ACCEPT, ACCEPT_ENCODING, ALLOW, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, VARY,
    },
};
use http_body::Body as _;
use http_body_util::{BodyExt, Empty};
use hyper_util::{rt::TokioIo, service::TowerToHyperService};
use tower::ServiceExt;

use crate::{echo::echo_descriptor_set, expect::page};

const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";
const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

fn exposition() -> Exposition {
    let exposition = Exposition::default();
    let builder = ServerMetrics::builder().descriptor_set(&echo_descriptor_set());
    builder.register(&exposition).unwrap();
    exposition
}

fn headers(lines: &[(HeaderName, &'static str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in lines {
        headers.append(name, HeaderValue::from_static(value));
    }
    headers
}

async fn content(response: Response<PageBody>) -> Bytes {
    let length = response.body().size_hint().exact();
    let content = response.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(length, Some(content.len() as u64));
    content
}

fn unzipped(content: &[u8]) -> String {
    let mut text = String::new();
    GzDecoder::new(content).read_to_string(&mut text).unwrap();
    text
}

#[tokio::test]
async fn a_page_is_compressed_if_the_client_accepts_gzip_and_the_same_otherwise() {
    let exposition = exposition();
    let text = page(&exposition);
    for (accept_encoding, zipped) in [
        (&["gzip"][..], true),
        (&["br", "GZIP;q=0.5"], true),
        (&["*"], true),
        (&[], false),
        (&["gzip;q=0"], false),
        (&["identity", "gzip;q=0.9"], false),
    ] {
        let lines: Vec<_> = accept_encoding
            .iter()
            .map(|value| (ACCEPT_ENCODING, *value))
            .collect();
        let response = exposition.respond(&headers(&lines));
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()[CONTENT_TYPE], TEXT);
        assert_eq!(response.headers()[VARY], "accept, accept-encoding");
        let coding = response.headers().get(CONTENT_ENCODING).cloned();
        let expected = zipped.then(|| HeaderValue::from_static("gzip"));
        assert_eq!(coding, expected, "{accept_encoding:?}");
        let content = content(response).await;
        if zipped {
            assert!(content.len() < text.len() / 10, "{}", content.len());
            assert_eq!(unzipped(&content), text);
        } else {
            assert_eq!(content, text);
        }
    }
}

#[test]
fn the_lines_of_a_list_header_are_one_list() {
    let exposition = exposition();
    for (lines, expected) in [
        (&[][..], TEXT),
        (&["application/openmetrics-text"], OPENMETRICS),
        (
            &["text/plain;q=0.5", "application/openmetrics-text;q=0.6"],
            OPENMETRICS,
        ),
        (
            &["application/openmetrics-text;q=0.6", "text/*;q=0.7"],
            TEXT,
        ),
        (&["Application/OpenMetrics-Text; Version=0.0.1"], TEXT),
    ] {
        let lines: Vec<_> = lines.iter().map(|value| (ACCEPT, *value)).collect();
        let response = exposition.respond(&headers(&lines));
        assert_eq!(response.headers()[CONTENT_TYPE], expected, "{lines:?}");
    }
}

#[tokio::test]
async fn get_and_head_have_the_page_and_other_methods_are_not_allowed() {
    let service = exposition().scrape_service();
    for (method, status) in [
        (Method::GET, StatusCode::OK),
        (Method::HEAD, StatusCode::OK),
        (Method::POST, StatusCode::METHOD_NOT_ALLOWED),
        (Method::OPTIONS, StatusCode::METHOD_NOT_ALLOWED),
    ] {
        let request = Request::builder().method(&method).uri("/any/path");
        let request = request.body("any body").unwrap();
        let response = service.clone().oneshot(request).await;
        let response = response.unwrap_or_else(|never: Infallible| match never {});
        assert_eq!(response.status(), status, "{method}");
        let allow = response.headers().get(ALLOW).map(HeaderValue::as_bytes);
        let refused = status != StatusCode::OK;
        assert_eq!(allow, refused.then_some(&b"GET, HEAD"[..]), "{method}");
        let has_content = method == Method::GET;
        assert_eq!(content(response).await.is_empty(), !has_content, "{method}");
    }
}

#[tokio::test]
async fn axum_serves_the_page_where_the_router_says() {
    let exposition = exposition();
    let app: Router = Router::new()
        .route_service("/metrics", exposition.scrape_service())
        .route_service("/metrics/", exposition.scrape_service());
    for (path, status) in [
        ("/metrics", StatusCode::OK),
        ("/metrics/", StatusCode::OK),
        ("/", StatusCode::NOT_FOUND),
    ] {
        let request = Request::get(path).header(ACCEPT_ENCODING, "gzip");
        let request = request.body(axum::body::Body::empty()).unwrap();
        let response = app.clone().oneshot(request).await.unwrap();
        assert_eq!(response.status(), status, "{path}");
        let content = response.into_body().collect().await.unwrap().to_bytes();
        if status == StatusCode::OK {
            assert_eq!(unzipped(&content), page(&exposition));
        }
    }
}

#[tokio::test]
async fn hyper_serves_the_page_and_answers_head_without_it() {
    let exposition = exposition();
    let (server, client) = tokio::io::duplex(1 << 20);
    let service = TowerToHyperService::new(exposition.scrape_service());
    let serving = hyper::server::conn::http2::Builder::new(hyper_util::rt::TokioExecutor::new())
        .serve_connection(TokioIo::new(server), service);
    tokio::spawn(serving);
    let executor = hyper_util::rt::TokioExecutor::new();
    let io = TokioIo::new(client);
    let (mut sender, connection) = hyper::client::conn::http2::handshake(executor, io)
        .await
        .unwrap();
    tokio::spawn(connection);
    let length = page(&exposition).len().to_string();
    for (method, body) in [
        (Method::GET, page(&exposition)),
        (Method::HEAD, String::new()),
    ] {
        let request = Request::builder().method(&method).uri("http://a/metrics");
        let request = request.body(Empty::<Bytes>::new()).unwrap();
        let response = sender.send_request(request).await.unwrap();
        assert_eq!(
            response.headers()[CONTENT_LENGTH],
            length.as_str(),
            "{method}"
        );
        let content = response.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(content, body, "{method}");
    }
}
