//! A mesh that exports its spans, and the traces of its responses.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use http::Request;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use vitalmesh_tests::{Collector, HttpResponse, Mesh, send};

pub(crate) const REVERT: &str = "vitalmesh.revert_name.v1.RevertNameService/RevertName";
pub(crate) const TIME: &str = "vitalmesh.time.v1.TimeService/WhatTimeIs";
pub(crate) const PROXY: &str = "GET /proxy/{name}";
pub(crate) const ROOT: (&str, SpanKind, &str) = ("edge", SpanKind::Server, PROXY);
pub(crate) const CLIENT: (&str, SpanKind, &str) = ("edge", SpanKind::Client, REVERT);
pub(crate) const SERVER: (&str, SpanKind, &str) = ("revert-name", SpanKind::Server, REVERT);

/// The number of spans of one `GET /proxy/{name}`.
pub(crate) const TREE: usize = 5;

pub(crate) const EXPORTED: &str = "mesh_spans_exported_total";
pub(crate) const QUEUE_FULL: &str = "mesh_spans_dropped_total{reason=\"queue_full\"}";
pub(crate) const FAILED: &str = "mesh_spans_dropped_total{reason=\"export_failed\"}";

pub(crate) async fn traced(collector: &Collector, flags: &[&str]) -> Mesh {
    let url = collector.url();
    let flags = [&["--otlp-endpoint", &url], flags].concat();
    Mesh::with(&flags, &flags).await
}

/// The trace id of a REST response.
pub(crate) fn trace_id(response: &HttpResponse) -> String {
    let parts: Vec<_> = response.header("traceresponse").split('-').collect();
    assert_eq!((parts[0], parts[3]), ("00", "01"), "{response:?}");
    parts[1].to_owned()
}

/// The trace ids in the exemplars of the durations of one side's unary calls.
pub(crate) async fn exemplars(scrape: SocketAddr, side: &str) -> Vec<String> {
    let request = Request::get("/metrics").header("accept", "application/openmetrics-text");
    let page = send(scrape, request).await.unwrap().body;
    let bucket = format!("grpc_{side}_handling_seconds_bucket{{");
    let calls = page.lines().filter(|line| line.starts_with(&bucket));
    let ids = calls.filter_map(|line| {
        let (_, exemplar) = line.split_once(" # {trace_id=\"")?;
        Some(exemplar.split_once('"')?.0.to_owned())
    });
    BTreeSet::from_iter(ids).into_iter().collect()
}
