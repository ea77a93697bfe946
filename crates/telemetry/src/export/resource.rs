//! The identity of the exporting service.

use super::Value;
use super::value::attribute;
use crate::otlp::resource::v1;

/// The service instance that exports, as OTLP resource attributes.
#[derive(Clone, Debug)]
pub struct Resource(v1::Resource);

// === impl Resource ===

impl Resource {
    /// Sets `service.name`, `service.version` and `service.instance.id`. Values are truncated to
    /// 256 bytes.
    pub fn new(service: &str, version: &str, instance: &str) -> Self {
        let attributes = [
            ("service.name", service),
            ("service.version", version),
            ("service.instance.id", instance),
        ];
        let text = |(key, value)| attribute((key, Value::from(value)));
        Self(v1::Resource {
            attributes: attributes.map(text).into(),
            ..v1::Resource::default()
        })
    }

    pub(crate) fn message(&self) -> v1::Resource {
        self.0.clone()
    }
}
