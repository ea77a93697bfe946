//! The parts of descriptors that decide what a message means on the wire. `prost-types` has no
//! features, which editions use in place of labels and syntax.

use prost::Message;

/// A `FileDescriptorSet`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct FileSet {
    #[prost(message, repeated, tag = "1")]
    pub(super) file: Vec<File>,
}

/// A `FileDescriptorProto`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct File {
    #[prost(string, tag = "2")]
    pub(super) package: String,
    #[prost(message, repeated, tag = "4")]
    pub(super) message_type: Vec<MessageType>,
    #[prost(message, repeated, tag = "5")]
    pub(super) enum_type: Vec<EnumType>,
    #[prost(message, repeated, tag = "6")]
    pub(super) service: Vec<Service>,
    #[prost(message, repeated, tag = "7")]
    pub(super) extension: Vec<FieldType>,
    #[prost(message, optional, tag = "8")]
    pub(super) options: Option<FileOptions>,
    /// Empty for proto2.
    #[prost(string, tag = "12")]
    pub(super) syntax: String,
}

/// A `DescriptorProto`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct MessageType {
    #[prost(string, tag = "1")]
    pub(super) name: String,
    #[prost(message, repeated, tag = "2")]
    pub(super) field: Vec<FieldType>,
    #[prost(message, repeated, tag = "3")]
    pub(super) nested_type: Vec<Self>,
    #[prost(message, repeated, tag = "4")]
    pub(super) enum_type: Vec<EnumType>,
    #[prost(message, repeated, tag = "6")]
    pub(super) extension: Vec<FieldType>,
    #[prost(message, optional, tag = "7")]
    pub(super) options: Option<MessageOptions>,
    #[prost(message, repeated, tag = "9")]
    pub(super) reserved_range: Vec<Range>,
}

/// A range of field numbers, without its end.
#[derive(Clone, Copy, PartialEq, Message)]
pub(super) struct Range {
    #[prost(int32, tag = "1")]
    pub(super) start: i32,
    #[prost(int32, tag = "2")]
    pub(super) end: i32,
}

/// A `FieldDescriptorProto`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct FieldType {
    #[prost(string, tag = "1")]
    pub(super) name: String,
    /// The message that it extends; empty for a field of its own message.
    #[prost(string, tag = "2")]
    pub(super) extendee: String,
    #[prost(int32, tag = "3")]
    pub(super) number: i32,
    #[prost(int32, tag = "4")]
    pub(super) label: i32,
    /// 0 if only `type_name` is set.
    #[prost(int32, tag = "5")]
    pub(super) r#type: i32,
    #[prost(string, tag = "6")]
    pub(super) type_name: String,
    #[prost(string, optional, tag = "7")]
    pub(super) default_value: Option<String>,
    #[prost(message, optional, tag = "8")]
    pub(super) options: Option<FieldOptions>,
    #[prost(int32, optional, tag = "9")]
    pub(super) oneof_index: Option<i32>,
    #[prost(bool, tag = "17")]
    pub(super) proto3_optional: bool,
}

/// An `EnumDescriptorProto`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct EnumType {
    #[prost(string, tag = "1")]
    pub(super) name: String,
    #[prost(message, repeated, tag = "2")]
    pub(super) value: Vec<EnumValue>,
    #[prost(message, optional, tag = "3")]
    pub(super) options: Option<EnumOptions>,
}

/// An `EnumValueDescriptorProto`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct EnumValue {
    #[prost(string, tag = "1")]
    pub(super) name: String,
    #[prost(int32, tag = "2")]
    pub(super) number: i32,
}

/// A `ServiceDescriptorProto`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Service {
    #[prost(string, tag = "1")]
    pub(super) name: String,
    #[prost(message, repeated, tag = "2")]
    pub(super) method: Vec<Method>,
}

/// A `MethodDescriptorProto`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Method {
    #[prost(string, tag = "1")]
    pub(super) name: String,
    #[prost(string, tag = "2")]
    pub(super) input_type: String,
    #[prost(string, tag = "3")]
    pub(super) output_type: String,
    #[prost(bool, tag = "5")]
    pub(super) client_streaming: bool,
    #[prost(bool, tag = "6")]
    pub(super) server_streaming: bool,
}

#[derive(Clone, Copy, PartialEq, Message)]
pub(super) struct FileOptions {
    #[prost(message, optional, tag = "50")]
    pub(super) features: Option<FeatureSet>,
}

#[derive(Clone, Copy, PartialEq, Message)]
pub(super) struct MessageOptions {
    #[prost(bool, tag = "7")]
    pub(super) map_entry: bool,
    #[prost(message, optional, tag = "12")]
    pub(super) features: Option<FeatureSet>,
}

#[derive(Clone, Copy, PartialEq, Message)]
pub(super) struct FieldOptions {
    #[prost(message, optional, tag = "21")]
    pub(super) features: Option<FeatureSet>,
}

#[derive(Clone, Copy, PartialEq, Message)]
pub(super) struct EnumOptions {
    #[prost(message, optional, tag = "7")]
    pub(super) features: Option<FeatureSet>,
}

/// A `FeatureSet`. 0 is inherited.
#[derive(Clone, Copy, PartialEq, Message)]
pub(super) struct FeatureSet {
    #[prost(int32, tag = "1")]
    pub(super) field_presence: i32,
    #[prost(int32, tag = "2")]
    pub(super) enum_type: i32,
    #[prost(int32, tag = "5")]
    pub(super) message_encoding: i32,
}

/// The values of `FeatureSet`, by field.
pub(super) mod feature {
    pub(in crate::legacy) const EXPLICIT: i32 = 1;
    pub(in crate::legacy) const IMPLICIT: i32 = 2;
    pub(in crate::legacy) const LEGACY_REQUIRED: i32 = 3;

    pub(in crate::legacy) const OPEN: i32 = 1;
    pub(in crate::legacy) const CLOSED: i32 = 2;

    pub(in crate::legacy) const LENGTH_PREFIXED: i32 = 1;
    pub(in crate::legacy) const DELIMITED: i32 = 2;
}

// === impl FeatureSet ===

impl FeatureSet {
    /// The features of files of this syntax.
    pub(super) fn of_syntax(syntax: &str) -> Self {
        let (field_presence, enum_type) = match syntax {
            "" | "proto2" => (feature::EXPLICIT, feature::CLOSED),
            "proto3" => (feature::IMPLICIT, feature::OPEN),
            _editions => (feature::EXPLICIT, feature::OPEN),
        };
        Self {
            field_presence,
            enum_type,
            message_encoding: feature::LENGTH_PREFIXED,
        }
    }

    /// These features, with those that an inner scope sets.
    pub(super) fn with(self, inner: Option<Self>) -> Self {
        let inner = inner.unwrap_or_default();
        let set = |outer, inner| if inner == 0 { outer } else { inner };
        Self {
            field_presence: set(self.field_presence, inner.field_presence),
            enum_type: set(self.enum_type, inner.enum_type),
            message_encoding: set(self.message_encoding, inner.message_encoding),
        }
    }
}
