//! Attributes of spans and log lines.

use crate::otlp::common::v1::any_value::Value as OtlpValue;
use crate::otlp::common::v1::{AnyValue, KeyValue};

/// The longest text, in bytes. Texts may come from clients and other services.
const MAX_TEXT: usize = 256;

/// An attribute value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// Truncated to 256 bytes.
    Text(String),
    /// A whole number.
    Number(i64),
}

// === impl Value ===

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(truncate(text).to_owned())
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Number(number)
    }
}

impl From<Value> for AnyValue {
    fn from(value: Value) -> Self {
        let value = match value {
            Value::Text(text) => OtlpValue::StringValue(text),
            Value::Number(number) => OtlpValue::IntValue(number),
        };
        Self { value: Some(value) }
    }
}

/// The OTLP message of an attribute.
pub(crate) fn attribute((key, value): (impl Into<String>, Value)) -> KeyValue {
    KeyValue {
        key: key.into(),
        value: Some(value.into()),
        ..KeyValue::default()
    }
}

/// The text up to [`MAX_TEXT`] bytes, at a character boundary.
pub(crate) fn truncate(text: &str) -> &str {
    &text[..text.floor_char_boundary(MAX_TEXT)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_truncated_to_256_bytes_at_a_character_boundary() {
        let most = "x".repeat(256);
        assert_eq!(truncate(&most), most);
        assert_eq!(truncate(&"x".repeat(257)), most);
        let wide = format!("x{}", "é".repeat(200));
        assert_eq!(truncate(&wide).len(), 255);
        assert_eq!(truncate(""), "");
    }
}
