//! Log output to an OTLP collector, beside standard error.

use std::sync::{Arc, OnceLock};

use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

use super::record::LogLine;
use crate::export::ExportQueue;

/// Targets, with all modules below them, of the code that an export runs: sending one line can log
/// further lines here, which would be exported and log again. The comments say when each one logs;
/// `*` means only if it is built with its logging feature.
const EXPORT_TARGETS: [&str; 10] = [
    "h2",                          // each frame
    "hyper",                       // * each frame
    "hyper_util",                  // each connection
    "mio",                         // * each connection
    "runtime::resource",           // * tokio: each operation of a queue or timer
    "tokio",                       // * each wake-up
    "tokio_util",                  // * each frame
    "tonic",                       // a failed response
    "vitalmesh_telemetry::export", // the first success after a failure
    "vitalmesh_transport",         // a lost connection
];

/// The process's log as a tracing layer that queues lines for export.
///
/// Drops lines until [`export_log`](crate::export_log) opens it. Clones share one queue. Lines
/// below WARN of the code that an export runs, such as HTTP/2, are not exported: the README lists
/// their targets.
#[derive(Clone, Debug, Default)]
pub struct LogSink {
    lines: Arc<OnceLock<ExportQueue<LogLine>>>,
}

// === impl LogSink ===

impl LogSink {
    /// Starts to queue lines. Only the first call has an effect.
    pub(crate) fn open(&self, lines: ExportQueue<LogLine>) {
        let _ = self.lines.set(lines);
    }

    /// Whether a line is exported: every line of level WARN or ERROR, and every other line except
    /// those of [`EXPORT_TARGETS`].
    pub(super) fn accepts(metadata: &Metadata<'_>) -> bool {
        let severe = *metadata.level() <= Level::WARN;
        metadata.is_event() && (severe || !is_export_target(metadata.target()))
    }
}

fn is_export_target(target: &str) -> bool {
    EXPORT_TARGETS.iter().any(|module| {
        let below = target.strip_prefix(module);
        below.is_some_and(|below| below.is_empty() || below.starts_with("::"))
    })
}

impl<S: Subscriber> Layer<S> for LogSink {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        if let Some(lines) = self.lines.get() {
            lines.push(LogLine::of(event));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
    use opentelemetry_proto::tonic::common::v1::any_value::Value;
    use prometheus::{Registry, TextEncoder};
    use tracing_subscriber::filter::filter_fn;
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;
    use crate::export::Resource;
    use crate::log::export_log;
    use crate::test_collector::TestCollector;

    /// Stores the targets of all events.
    #[derive(Clone, Default)]
    struct AllTargets(Arc<Mutex<Vec<String>>>);

    impl<S: Subscriber> Layer<S> for AllTargets {
        fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
            let target = event.metadata().target().to_owned();
            self.0.lock().unwrap().push(target);
        }
    }

    fn messages(request: ExportLogsServiceRequest) -> Vec<String> {
        let scopes = request.resource_logs.into_iter();
        let scopes = scopes.flat_map(|resource| resource.scope_logs);
        let records = scopes.flat_map(|scope| scope.log_records);
        let texts = records.map(|record| match record.body.and_then(|body| body.value) {
            Some(Value::StringValue(text)) => text,
            other => panic!("{other:?}"),
        });
        texts.collect()
    }

    /// Whether a sink queues an event of this target at DEBUG and at WARN.
    macro_rules! exported {
        ($target:literal) => {{
            let (lines, mut waiting, _) = ExportQueue::<LogLine>::unexported();
            let sink = LogSink::default();
            sink.open(lines);
            let layer = sink.with_filter(filter_fn(LogSink::accepts));
            let _log = tracing::subscriber::set_default(tracing_subscriber::registry().with(layer));
            tracing::debug!(target: $target, "a line");
            let debug = waiting.try_recv().is_ok();
            tracing::warn!(target: $target, "a line");
            (debug, waiting.try_recv().is_ok())
        }};
    }

    #[test]
    fn lines_of_every_crate_are_exported_and_only_warnings_of_what_an_export_runs() {
        let caused = [
            exported!("h2"),
            exported!("h2::codec::framed_read"),
            exported!("hyper::proto::h2::ping"),
            exported!("hyper_util::client::legacy::connect::http"),
            exported!("mio::poll"),
            exported!("runtime::resource::state_update"),
            exported!("tokio::task::waker"),
            exported!("tokio_util::codec::framed_impl"),
            exported!("tonic::codec::decode"),
            exported!("vitalmesh_telemetry::export::exporter"),
            exported!("vitalmesh_transport::link"),
        ];
        assert_eq!(caused, [(false, true); 11]);
        let others = [
            exported!("shop::orders"),
            exported!("h2_proxy::frames"),
            exported!("runtime"),
            exported!("runtime::resources"),
            exported!("tokio_cron_scheduler::job"),
            exported!("tonic_health::server"),
            exported!("tower::buffer::worker"),
            exported!("vitalmesh::call"),
            exported!("vitalmesh_edge::store"),
            exported!("vitalmesh_telemetry::log"),
        ];
        assert_eq!(others, [(true, true); 10]);
    }

    #[tokio::test]
    async fn exporting_a_line_causes_no_further_line_at_any_level() {
        let mut collector = TestCollector::start(0).await;
        let (sink, targets) = (LogSink::default(), AllTargets::default());
        let exported = sink.clone().with_filter(filter_fn(LogSink::accepts));
        let subscriber = tracing_subscriber::registry()
            .with(exported)
            .with(targets.clone());
        let _log = tracing::subscriber::set_default(subscriber);
        let (resource, registry) = (Resource::new("shop", "1", "a"), Registry::new());
        let flush = export_log(Some(&sink), Some(collector.uri()), &resource, &registry);
        let flush = flush.unwrap();

        tracing::debug!(target: "shop::orders", "order placed");
        assert_eq!(messages(collector.logs().await), ["order placed"]);
        // What the first export logged would be in the queue by now.
        flush.await;
        assert_eq!(collector.stop().await, []);
        let page = TextEncoder::new().encode_to_string(&registry.gather());
        let page = page.unwrap();
        for series in [
            "mesh_log_lines_exported_total 1\n",
            "mesh_log_lines_dropped_total{reason=\"export_failed\"} 0\n",
            "mesh_log_lines_dropped_total{reason=\"queue_full\"} 0\n",
        ] {
            assert!(page.contains(series), "{series} in {page}");
        }

        let caused = targets.0.lock().unwrap().clone();
        for target in ["h2::", "hyper_util::client::legacy::connect::http"] {
            let logged = caused.iter().any(|caused| caused.starts_with(target));
            assert!(logged, "{target} in {caused:?}");
        }
    }
}
