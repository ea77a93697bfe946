//! Errors of a registration.

use crate::exposition::RegisterError;

/// An invalid option, or a conflict with another registration.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The bytes are no encoded `google.protobuf.FileDescriptorSet`.
    #[error("cannot decode the descriptor set")]
    DescriptorSet(#[source] Box<dyn std::error::Error + Send + Sync>),
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

// === impl Error ===

impl From<RegisterError> for Error {
    fn from(refusal: RegisterError) -> Self {
        match refusal {
            RegisterError::Conflict(option) => Self::Conflict { option },
            RegisterError::Label(name) => Self::LabelName { name },
            RegisterError::Registry(error) => Self::Registry(error),
        }
    }
}
