#![doc = include_str!("../README.md")]
#![warn(missing_docs)]

mod export;
mod log;
mod observer;
mod otlp;
#[cfg(test)]
mod test_collector;
mod trace;

pub use self::export::{Resource, Value};
pub use self::log::{LogFormat, LogSink, export_log, init_log, report_suppressed_lines};
pub use self::observer::{ObservedBody, ObservedFuture, Observer};
pub use self::trace::{Collector, OpenSpan, Ratio, SpanKind, TraceSettings, Tracer, conventions};
