//! Errors of a registration.

use crate::{
    exposition::RegisterError,
    series::{LabelStyle, TypeConflict},
};

/// An invalid option, or a conflict with another registration.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The bytes are no encoded `google.protobuf.FileDescriptorSet`. Only packages, services, and the
    /// names and types of methods are read.
    #[error("cannot decode the descriptor set: {0}")]
    DescriptorSet(DescriptorSetError),
    /// Two descriptor sets, of one registration or of registrations that share series, declare a
    /// method with different types.
    #[error(
        "method {method} of service {service} is declared as {first} and as {second}: \
         give one descriptor set for it"
    )]
    MethodType {
        /// The service, with its package.
        service: String,
        /// The method.
        method: String,
        /// The type that was declared first, spelled as in the label `grpc_type`.
        first: &'static str,
        /// The other type.
        second: &'static str,
    },
    /// Bucket bounds are empty, infinite, negative or not strictly increasing.
    #[error(
        "bucket bounds of {family} must be non-empty, finite, non-negative and strictly increasing"
    )]
    Buckets {
        /// The histogram family, without namespace and side.
        family: &'static str,
    },
    /// A label name is invalid, used by this crate, or used twice. Labels that a registry made by
    /// `Registry::new_custom` adds count too.
    #[error("label name {name:?} is invalid, reserved or used twice")]
    LabelName {
        /// The label name.
        name: String,
    },
    /// A metadata key is not a valid header name.
    #[error("invalid metadata key {key:?}")]
    MetadataKey {
        /// The key.
        key: String,
    },
    /// The namespace cannot begin a metric name.
    #[error("invalid namespace {namespace:?}")]
    Namespace {
        /// The namespace.
        namespace: String,
    },
    /// The extra labels allow too many label sets per method.
    #[error(
        "extra labels allow {combinations} label sets per method, at most {limit} are supported"
    )]
    TooManyLabelSets {
        /// The product of the allow-lists' sizes, each with its default.
        combinations: usize,
        /// The maximum.
        limit: usize,
    },
    /// The exposition has metrics with the same names and constant labels, but with another value
    /// of an option.
    #[error("metrics with these names are registered with another value of: {option}")]
    Conflict {
        /// The option.
        option: &'static str,
    },
    /// The registry rejected the metrics, because another collector uses one of the names. That may
    /// be another [`Exposition`](crate::Exposition) of the same registry.
    #[error("the registry rejected the metrics")]
    Registry(#[source] prometheus::Error),
}

/// Why a descriptor set cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DescriptorSetError {
    /// A field that is read is no valid protobuf.
    #[error("{0}")]
    Decode(Box<dyn std::error::Error + Send + Sync>),
    /// The bytes are compressed.
    #[error("it is compressed with gzip: decompress it first")]
    Gzip,
    /// The bytes are text.
    #[error("it is text, not the binary output of protoc's --descriptor_set_out or of buf build")]
    Text,
}

// === impl Error ===

impl Error {
    pub(super) fn method_type(conflict: TypeConflict, style: LabelStyle) -> Self {
        let TypeConflict { first, second } = conflict;
        Self::MethodType {
            first: style.kind(first.kind),
            second: style.kind(second),
            service: first.service,
            method: first.method,
        }
    }
}

impl From<RegisterError> for Error {
    fn from(refusal: RegisterError) -> Self {
        match refusal {
            RegisterError::Conflict(option) => Self::Conflict { option },
            RegisterError::Label(name) => Self::LabelName { name },
            RegisterError::Registry(error) => Self::Registry(error),
        }
    }
}

// === impl DescriptorSetError ===

impl DescriptorSetError {
    /// The cause, or what the bytes are instead.
    pub(super) fn decode(bytes: &[u8], error: prost::DecodeError) -> Self {
        let is_text = |text: &str| !text.contains(|c: char| c.is_control() && !c.is_whitespace());
        match bytes {
            [0x1f, 0x8b, ..] => Self::Gzip,
            bytes if std::str::from_utf8(bytes).is_ok_and(is_text) => Self::Text,
            _ => Self::Decode(error.into()),
        }
    }
}
