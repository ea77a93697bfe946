//! Logs one line inside of one span, and exports both to a collector if `--otlp-endpoint` is set.

use std::error::Error;

use clap::Parser;
use prometheus::{Registry, TextEncoder};
use vitalmesh_context::{CallContext, TraceContext};
use vitalmesh_telemetry::{
    LogFormat, Resource, SpanKind, TraceSettings, Tracer, export_log, init_log,
};

#[derive(Debug, Parser)]
struct Settings {
    #[command(flatten)]
    trace: TraceSettings,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let settings = Settings::parse().trace;
    let registry = Registry::new();
    let resource = Resource::new("example", env!("CARGO_PKG_VERSION"), "one");
    let log = init_log(LogFormat::detect(), "info".parse()?);
    let (tracer, flush_spans) = Tracer::start(&settings, &resource, &registry)?;
    let flush_lines = export_log(log.as_ref(), settings.collector(), &resource, &registry)?;

    let mut context = CallContext::root(None);
    context.trace = tracer.sample(TraceContext::root());
    let mut span = tracer.start_span(context.trace, SpanKind::Internal, || "place order".into());
    context.sync_scope(|| tracing::info!(items = 3, "order placed"));
    if let Some(span) = &mut span {
        span.set("order.items", 3);
    }
    drop(span);

    tokio::join!(flush_spans, flush_lines);
    println!(
        "{}",
        TextEncoder::new().encode_to_string(&registry.gather())?
    );
    Ok(())
}
