//! What a channel puts around the transport: deadline, trace, metrics, connections of its own.
#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

mod upstream;

use std::time::Duration;

use tonic::{Code, Request};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use vitalmesh_context::{CallContext, TRACEPARENT, TraceContext, requested_timeout};

use self::upstream::{Answers, Event, Upstream};

/// Longer than any call that is not meant to end by its deadline.
const LONG: Duration = Duration::from_secs(60);
/// The deadline of calls that are.
const SHORT: Duration = Duration::from_millis(50);

#[tokio::test]
async fn a_unary_call_ends_at_the_deadline_and_is_counted_and_cancelled() {
    let mut upstream = Upstream::start(Answers::Never);
    let mut client = upstream.client(SHORT);
    let checked = client.check(HealthCheckRequest::default());
    assert_eq!(checked.await.unwrap_err().code(), Code::DeadlineExceeded);
    assert_eq!(upstream.handled(), ["Check DeadlineExceeded 1"]);
    let (_, headers) = upstream.request().await;
    assert_eq!(requested_timeout(&headers), Some(SHORT));
    let event = upstream.event().await;
    assert!(
        matches!(event, Event::Reset(h2::Reason::CANCEL)),
        "{event:?}"
    );
}

#[tokio::test]
async fn a_stream_ends_at_the_deadline_after_what_had_arrived() {
    let upstream = Upstream::start(Answers::NoEnd);
    let mut client = upstream.client(SHORT * 4);
    let watched = client.watch(HealthCheckRequest::default());
    let mut states = watched.await.unwrap().into_inner();
    assert_eq!(states.message().await.unwrap().unwrap().status, 1);
    let status = states.message().await.unwrap_err();
    assert_eq!(status.code(), Code::DeadlineExceeded);
    assert_eq!(upstream.handled(), ["Watch DeadlineExceeded 1"]);
}

#[tokio::test]
async fn the_shortest_of_the_three_deadlines_goes_on_the_wire() {
    let mut upstream = Upstream::start(Answers::Serving);
    // The channel's, the context's, the call's own, and the one that wins.
    for (channel, context, own, least) in [
        (20, None, None, 20),
        (20, Some(10), None, 10),
        (20, None, Some(5), 5),
        (20, Some(10), Some(5), 5),
        (20, Some(5), Some(10), 5),
        (20, Some(40), Some(60), 20),
    ] {
        let seconds = Duration::from_secs;
        let mut client = upstream.client(seconds(channel));
        let mut request = Request::new(HealthCheckRequest::default());
        own.into_iter()
            .for_each(|own| request.set_timeout(seconds(own)));
        let call = client.check(request);
        match context {
            Some(context) => CallContext::root(Some(seconds(context))).scope(call).await,
            None => call.await,
        }
        .unwrap();
        let (_, headers) = upstream.request().await;
        assert_eq!(headers.get_all("grpc-timeout").iter().count(), 1);
        let sent = requested_timeout(&headers).unwrap();
        let case = format!("{channel:?} {context:?} {own:?}: {sent:?}");
        // A context's deadline has come nearer since it was set.
        assert!(sent <= seconds(least), "{case}");
        assert!(sent > seconds(least - 2), "{case}");
    }
    assert_eq!(upstream.handled(), ["Check OK 6"]);
}

/// The trace on the wire.
fn sent(headers: &http::HeaderMap) -> TraceContext {
    assert_eq!(headers.get_all(TRACEPARENT).iter().count(), 1);
    TraceContext::parse(&headers[TRACEPARENT]).unwrap()
}

#[tokio::test]
async fn a_call_is_a_child_of_its_contexts_span() {
    let mut upstream = Upstream::start(Answers::Serving);
    let mut client = upstream.client(LONG);
    for sampled in [true, false] {
        let mut context = CallContext::root(None);
        context.trace.sampled = sampled;
        let mut spans = vec![context.trace.span_id];
        for _ in 0..2 {
            let mut request = Request::new(HealthCheckRequest::default());
            // What the caller's own request says is replaced.
            let other = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
            let metadata = request.metadata_mut();
            metadata.insert("traceparent", other.parse().unwrap());
            context.scope(client.check(request)).await.unwrap();
            let trace = sent(&upstream.request().await.1);
            assert_eq!(trace.trace_id, context.trace.trace_id);
            assert_eq!(trace.sampled, sampled);
            spans.push(trace.span_id);
        }
        spans.sort_unstable();
        spans.dedup();
        assert_eq!(spans.len(), 3, "each call has a span of its own");
    }
}

#[tokio::test]
async fn each_call_outside_of_a_context_begins_a_trace() {
    let mut upstream = Upstream::start(Answers::Serving);
    let mut client = upstream.client(LONG);
    let mut traces = Vec::new();
    for _ in 0..2 {
        client.check(HealthCheckRequest::default()).await.unwrap();
        let trace = sent(&upstream.request().await.1);
        assert!(!trace.sampled);
        traces.push(trace.trace_id);
    }
    assert_ne!(traces[0], traces[1]);
}

#[tokio::test]
async fn a_separate_channel_has_a_connection_of_its_own_which_closes_with_it() {
    let mut upstream = Upstream::start(Answers::Serving);
    let channel = upstream.channel(LONG);
    let check = async |channel| {
        let mut client = HealthClient::new(channel);
        client.check(HealthCheckRequest::default()).await.unwrap();
    };
    check(channel.clone()).await;
    check(channel.clone()).await;
    let separate = channel.separate();
    check(separate.clone()).await;
    check(separate.separate()).await;
    let mut connections = Vec::new();
    for _ in 0..4 {
        match upstream.event().await {
            Event::Request { connection, .. } => connections.push(connection),
            // The last one's, which was dropped at once.
            Event::Closed(connection) => assert_eq!(connection, 3),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(connections, [1, 1, 2, 3]);
    drop(separate);
    loop {
        match upstream.event().await {
            Event::Closed(2) => break,
            Event::Closed(3) => {}
            other => panic!("{other:?}"),
        }
    }
    check(channel).await;
    assert_eq!(upstream.request().await.0, 1);
    assert_eq!(upstream.handled(), ["Check OK 5"]);
}

#[tokio::test]
async fn a_dropped_call_counts_as_canceled_and_resets_its_stream() {
    let mut upstream = Upstream::start(Answers::Never);
    let client = upstream.client(LONG);
    // The other clone keeps the connection open.
    let mut caller = client.clone();
    let call = tokio::spawn(async move { caller.check(HealthCheckRequest::default()).await });
    upstream.request().await;
    call.abort();
    assert!(call.await.unwrap_err().is_cancelled());
    assert_eq!(upstream.handled(), ["Check Canceled 1"]);
    let event = upstream.event().await;
    assert!(
        matches!(event, Event::Reset(h2::Reason::CANCEL)),
        "{event:?}"
    );
}
