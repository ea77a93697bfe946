//! Span names and attributes of calls and requests, by OpenTelemetry's semantic conventions.

use std::net::SocketAddr;

use http::{HeaderMap, Request, Uri};
use tonic::{Code, Status};

use super::{OpenSpan, SpanKind, Tracer};
use vitalmesh_context::TraceContext;
use vitalmesh_status::method_label;

/// Names a method or route that the server does not know, so that a client cannot name a span.
const UNKNOWN: &str = "unknown";
/// The conventions' value for an unregistered HTTP method.
const OTHER_METHOD: &str = "_OTHER";

/// A gRPC call's span. Its name is the method's path without the leading slash.
fn call(
    tracer: &Tracer,
    trace: TraceContext,
    kind: SpanKind,
    path: Option<&str>,
) -> Option<Box<OpenSpan>> {
    let path = path.map_or(UNKNOWN, |path| path.trim_start_matches('/'));
    let mut span = tracer.start_span(trace, kind, || path.to_owned())?;
    span.set("rpc.system", "grpc");
    if let Some((service, method)) = path.split_once('/') {
        span.set("rpc.service", service);
        span.set("rpc.method", method);
    }
    Some(span)
}

/// The span of a call that a server handles.
pub fn server_call(
    tracer: &Tracer,
    trace: TraceContext,
    path: Option<&str>,
    peer: SocketAddr,
) -> Option<Box<OpenSpan>> {
    let mut span = call(tracer, trace, SpanKind::Server, path)?;
    set_peer(&mut span, peer);
    Some(span)
}

/// The span of a call that a client makes.
pub fn client_call(
    tracer: &Tracer,
    trace: TraceContext,
    path: &str,
    target: &Uri,
) -> Option<Box<OpenSpan>> {
    let mut span = call(tracer, trace, SpanKind::Client, Some(path))?;
    if let Some(host) = target.host() {
        span.set("server.address", host);
    }
    if let Some(port) = target.port_u16() {
        span.set("server.port", i64::from(port));
    }
    Some(span)
}

/// The span of a REST request. Its name is the method and the route.
pub fn http_request<B>(
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
    let mut span = tracer.start_span(trace, SpanKind::Server, name)?;
    span.set("http.request.method", method);
    if let Some(route) = route {
        span.set("http.route", route);
    }
    span.set("url.scheme", "http");
    span.set("url.path", request.uri().path());
    set_peer(&mut span, peer);
    Some(span)
}

fn set_peer(span: &mut OpenSpan, peer: SocketAddr) {
    span.set("network.peer.address", peer.ip().to_string().as_str());
    span.set("network.peer.port", i64::from(peer.port()));
}

/// Records the gRPC code. The caller decides whether it is a failure.
pub fn grpc_end(span: &mut OpenSpan, code: Code) {
    span.set("rpc.grpc.status_code", i64::from(code as i32));
}

/// Records the HTTP status. Only a 5xx is a failure.
pub fn http_end(span: &mut OpenSpan, status: u16) {
    span.set("http.response.status_code", i64::from(status));
    if status >= 500 {
        span.fail("");
    }
}

/// The message of a gRPC status.
pub fn status_message(headers: &HeaderMap) -> String {
    Status::from_header_map(headers).map_or_else(String::new, |status| status.message().to_owned())
}
