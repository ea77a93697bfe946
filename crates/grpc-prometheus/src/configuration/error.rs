//! What can be wrong with a configuration.

use crate::exposition::Refusal;

/// A configuration that cannot work, found when the metrics are registered.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The bytes are not an encoded `google.protobuf.FileDescriptorSet`.
    #[error("descriptor set does not parse")]
    DescriptorSet(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Bucket bounds must be finite, not negative and strictly rising, and there must be one.
    #[error("buckets of {family} must be one or more, finite, not negative and strictly rising")]
    Buckets {
        /// The histograms the bounds were meant for, without namespace and side.
        family: &'static str,
    },
    /// A label name that Prometheus forbids, that this crate uses itself, or that comes twice: also
    /// when the registry, made by `Registry::new_custom`, is the one that adds it.
    #[error("label name {name:?} is not legal, reserved or used twice")]
    LabelName {
        /// The offending name.
        name: String,
    },
    /// A metadata key that no request can have.
    #[error("metadata key {key:?} is not legal")]
    MetadataKey {
        /// The offending key.
        key: String,
    },
    /// The namespace does not make a legal metric name.
    #[error("namespace {namespace:?} does not make a legal metric name")]
    Namespace {
        /// The offending namespace.
        namespace: String,
    },
    /// The allow-lists of the extra labels multiply to more series per method than the bound.
    #[error("extra labels make {combinations} label sets per method, at most {limit} are allowed")]
    TooManyLabelSets {
        /// The product of the sizes of the allow-lists, each with its default.
        combinations: usize,
        /// The bound.
        limit: usize,
    },
    /// The exposition already has metrics under the same names and constant labels,
    /// configured in another way.
    #[error("metrics with these names are registered with other {option}")]
    Conflict {
        /// The option that differs.
        option: &'static str,
    },
    /// The registry refused the metrics: another collector has one of the names. That may be
    /// another [`Exposition`](crate::Exposition) for the same registry.
    #[error("registry refused the metrics")]
    Registry(#[source] prometheus::Error),
}

// === impl Error ===

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Conflict(option) => Self::Conflict { option },
            Refusal::Label(name) => Self::LabelName { name },
            Refusal::Registry(error) => Self::Registry(error),
        }
    }
}
