//! OTLP's messages, as far as spans and log lines have them in common: the stable numbers of
//! opentelemetry-proto 1.x.
//!
//! The crate of that name would bring an SDK along that nothing here uses. The tests of the mesh
//! read what this writes by that crate.

use std::fmt::Debug;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::Value;

/// The request of each signal: the names of its fields differ, the numbers do not.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct ExportRequest<M: prost::Message + Debug + Default> {
    #[prost(message, repeated, tag = "1")]
    by_resource: Vec<OfResource<M>>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct OfResource<M: prost::Message + Debug + Default> {
    #[prost(message, optional, tag = "1")]
    resource: Option<Resource>,
    #[prost(message, repeated, tag = "2")]
    by_scope: Vec<OfScope<M>>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct OfScope<M: prost::Message + Debug + Default> {
    #[prost(message, optional, tag = "1")]
    scope: Option<Scope>,
    #[prost(message, repeated, tag = "2")]
    items: Vec<M>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct ExportResponse {
    #[prost(message, optional, tag = "1")]
    pub(super) partial_success: Option<PartialSuccess>,
}

/// What a collector says when it does not take all.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct PartialSuccess {
    #[prost(int64, tag = "1")]
    pub(super) rejected: i64,
    #[prost(string, tag = "2")]
    pub(super) error_message: String,
}

/// The service instance that exports.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Resource {
    #[prost(message, repeated, tag = "1")]
    attributes: Vec<KeyValue>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Scope {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    version: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct KeyValue {
    #[prost(string, tag = "1")]
    key: String,
    #[prost(message, optional, tag = "2")]
    value: Option<AnyValue>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct AnyValue {
    #[prost(oneof = "AnyValueKind", tags = "1, 3")]
    value: Option<AnyValueKind>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum AnyValueKind {
    #[prost(string, tag = "1")]
    Text(String),
    #[prost(int64, tag = "3")]
    Number(i64),
}

// === impl ExportRequest ===

impl<M: prost::Message + Debug + Default> ExportRequest<M> {
    pub(super) fn new(resource: &Resource, items: Vec<M>) -> Self {
        let scope = Scope {
            name: env!("CARGO_PKG_NAME").to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        };
        Self {
            by_resource: vec![OfResource {
                resource: Some(resource.clone()),
                by_scope: vec![OfScope {
                    scope: Some(scope),
                    items,
                }],
            }],
        }
    }
}

// === impl Resource ===

impl Resource {
    /// The resource attributes `service.name`, `service.version` and `service.instance.id`.
    pub fn new(service: &str, version: &str, instance: &str) -> Self {
        let text = |key: &str, text: &str| (key, Value::from(text)).into();
        Self {
            attributes: vec![
                text("service.name", service),
                text("service.version", version),
                text("service.instance.id", instance),
            ],
        }
    }
}

// === impl KeyValue ===

impl<K: Into<String>> From<(K, Value)> for KeyValue {
    fn from((key, value): (K, Value)) -> Self {
        Self {
            key: key.into(),
            value: Some(value.into()),
        }
    }
}

// === impl AnyValue ===

impl From<Value> for AnyValue {
    fn from(value: Value) -> Self {
        let value = match value {
            Value::Text(text) => AnyValueKind::Text(text),
            Value::Number(number) => AnyValueKind::Number(number),
        };
        Self { value: Some(value) }
    }
}

/// Since 1970; 0 for what is before, and for what is after 2554.
pub(crate) fn nanos(at: SystemTime) -> u64 {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    u64::try_from(since.as_nanos()).unwrap_or(0)
}
