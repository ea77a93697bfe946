//! What the spans of calls and requests say, by OpenTelemetry's semantic conventions.

use std::net::SocketAddr;

use http::{HeaderMap, Request, Uri};
use tonic::{Code, Status};

use super::{Kind, OpenSpan, Tracer};
use crate::context::TraceContext;
use crate::rest::method_label;

/// A method or a route that the server does not know, so that no client names a span.
const UNKNOWN: &str = "unknown";
/// The conventions' word for an HTTP method that is none.
const OTHER_METHOD: &str = "_OTHER";

/// The span of a gRPC call, named by its method's path without the first slash.
fn call(
    tracer: &Tracer,
    trace: TraceContext,
    kind: Kind,
    path: Option<&str>,
) -> Option<Box<OpenSpan>> {
    let path = path.map_or(UNKNOWN, |path| path.trim_start_matches('/'));
    let mut span = tracer.begin(trace, kind, || path.to_owned())?;
    span.note("rpc.system", "grpc");
    if let Some((service, method)) = path.split_once('/') {
        span.note("rpc.service", service);
        span.note("rpc.method", method);
    }
    Some(span)
}

/// A call that a server answers.
pub(crate) fn served(
    tracer: &Tracer,
    trace: TraceContext,
    path: Option<&str>,
    peer: SocketAddr,
) -> Option<Box<OpenSpan>> {
    let mut span = call(tracer, trace, Kind::Server, path)?;
    note_peer(&mut span, peer);
    Some(span)
}

/// A call that a client makes.
pub(crate) fn made(
    tracer: &Tracer,
    trace: TraceContext,
    path: &str,
    target: &Uri,
) -> Option<Box<OpenSpan>> {
    let mut span = call(tracer, trace, Kind::Client, Some(path))?;
    if let Some(host) = target.host() {
        span.note("server.address", host);
    }
    if let Some(port) = target.port_u16() {
        span.note("server.port", i64::from(port));
    }
    Some(span)
}

/// A REST request, named by its method and its route.
pub(crate) fn requested<B>(
    tracer: &Tracer,
    trace: TraceContext,
    route: Option<&str>,
    peer: SocketAddr,
    request: &Request<B>,
) -> Option<Box<OpenSpan>> {
    let method = match method_label(request.method()) {
        "other" => OTHER_METHOD,
        method => method,
    };
    let name = || format!("{method} {}", route.unwrap_or(UNKNOWN));
    let mut span = tracer.begin(trace, Kind::Server, name)?;
    span.note("http.request.method", method);
    if let Some(route) = route {
        span.note("http.route", route);
    }
    span.note("url.scheme", "http");
    span.note("url.path", request.uri().path());
    note_peer(&mut span, peer);
    Some(span)
}

fn note_peer(span: &mut OpenSpan, peer: SocketAddr) {
    span.note("network.peer.address", peer.ip().to_string().as_str());
    span.note("network.peer.port", i64::from(peer.port()));
}

/// How a gRPC call ended. Whether that is a failure is for its side to say.
pub(crate) fn ended(span: &mut OpenSpan, code: Code) {
    span.note("rpc.grpc.status_code", i64::from(code as i32));
}

/// How a REST request ended: only the server's own faults are failures.
pub(crate) fn answered(span: &mut OpenSpan, status: u16) {
    span.note("http.response.status_code", i64::from(status));
    if status >= 500 {
        span.fail("");
    }
}

/// The text beside a gRPC status.
pub(crate) fn message(headers: &HeaderMap) -> String {
    Status::from_header_map(headers).map_or_else(String::new, |status| status.message().to_owned())
}
