//! Extra labels from requests, and label sets with their text.

use std::{collections::HashSet, fmt, sync::Arc};

use http::{Extensions, HeaderMap, HeaderName, Request};

use super::conventions::RpcConventions;

pub(crate) const METHOD: &str = "grpc_method";
pub(crate) const SERVICE: &str = "grpc_service";
pub(crate) const TYPE: &str = "grpc_type";
pub(crate) const CODE: &str = "grpc_code";
const BUCKET: &str = "le";
/// Of OpenTelemetry's stable conventions.
pub(crate) const SYSTEM_NAME: &str = "rpc_system_name";
pub(crate) const FULL_METHOD: &str = "rpc_method";
pub(crate) const STATUS_CODE: &str = "rpc_response_status_code";
pub(crate) const ERROR_TYPE: &str = "error_type";
const RESERVED: [&str; 5] = [METHOD, SERVICE, TYPE, CODE, BUCKET];
const STABLE: [&str; 4] = [SYSTEM_NAME, FULL_METHOD, STATUS_CODE, ERROR_TYPE];

/// Names and values that tell series of one label set apart.
pub(crate) type CodePairs = [(&'static str, &'static str)];

/// The names that other labels cannot have.
pub(crate) fn reserved(conventions: RpcConventions) -> impl Iterator<Item = &'static str> {
    let stable = STABLE.into_iter().filter(move |_| conventions.has_stable());
    RESERVED.into_iter().chain(stable)
}

type FromExtensions = dyn for<'a> Fn(&'a Extensions) -> Option<&'a str> + Send + Sync;

/// A label whose value is taken from the request and limited to an allow-list.
#[derive(Clone)]
pub(crate) struct ExtraLabel {
    name: String,
    source: Source,
    /// The allowed values; the first is the default.
    values: Vec<String>,
}

#[derive(Clone)]
enum Source {
    Metadata(HeaderName),
    Extensions(Arc<FromExtensions>),
}

/// The labels of one series, without `grpc_code` and `le`.
#[derive(Debug)]
pub(crate) struct Labels {
    /// Sorted by name.
    pub(crate) pairs: Box<[(String, String)]>,
    /// The pairs that sort before `grpc_code`, each followed by a comma.
    pub(crate) before_code: Box<str>,
    /// The other pairs, without a trailing comma.
    pub(crate) after_code: Box<str>,
}

// === impl ExtraLabel ===

impl ExtraLabel {
    pub(crate) fn from_metadata(name: String, key: &str, values: Vec<String>) -> Option<Self> {
        let key = HeaderName::try_from(key).ok()?;
        let source = Source::Metadata(key);
        Some(Self::new(name, source, values))
    }

    pub(crate) fn from_extensions(
        name: String,
        value: Arc<FromExtensions>,
        values: Vec<String>,
    ) -> Self {
        Self::new(name, Source::Extensions(value), values)
    }

    fn new(name: String, source: Source, mut values: Vec<String>) -> Self {
        let mut seen = HashSet::new();
        values.retain(|value| seen.insert(value.clone()));
        Self {
            name,
            source,
            values,
        }
    }

    fn index<B>(&self, request: &Request<B>) -> usize {
        let value = match &self.source {
            Source::Metadata(key) => from_metadata(request.headers(), key),
            Source::Extensions(value) => value(request.extensions()),
        };
        let known = value.and_then(|value| self.values.iter().position(|known| known == value));
        known.unwrap_or(0)
    }
}

impl PartialEq for ExtraLabel {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name && self.values == other.values && self.source == other.source
    }
}

impl PartialEq for Source {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Metadata(key), Self::Metadata(other)) => key == other,
            (Self::Extensions(value), Self::Extensions(other)) => Arc::ptr_eq(value, other),
            _ => false,
        }
    }
}

impl fmt::Debug for ExtraLabel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExtraLabel")
            .field("name", &self.name)
            .field("values", &self.values)
            .finish_non_exhaustive()
    }
}

fn from_metadata<'a>(headers: &'a HeaderMap, key: &HeaderName) -> Option<&'a str> {
    headers.get(key)?.to_str().ok()
}

/// The number of label sets: the product of the allow-lists' sizes.
pub(crate) fn combinations(labels: &[ExtraLabel]) -> usize {
    let sizes = labels.iter().map(|label| label.values.len());
    sizes.fold(1, usize::saturating_mul)
}

/// The index of a request's label set.
pub(crate) fn combination<B>(labels: &[ExtraLabel], request: &Request<B>) -> usize {
    labels.iter().fold(0, |index, label| {
        index * label.values.len() + label.index(request)
    })
}

/// Names and values of the label set with this index.
pub(crate) fn values(labels: &[ExtraLabel], mut index: usize) -> Vec<(String, String)> {
    let mut pairs = Vec::with_capacity(labels.len());
    for label in labels.iter().rev() {
        let value = &label.values[index % label.values.len()];
        pairs.push((label.name.clone(), value.clone()));
        index /= label.values.len();
    }
    pairs
}

pub(crate) fn names(labels: &[ExtraLabel]) -> impl Iterator<Item = &str> {
    labels.iter().map(|label| label.name.as_str())
}

// === impl Labels ===

impl Labels {
    pub(crate) fn new(mut pairs: Vec<(String, String)>) -> Self {
        pairs.sort();
        let split = pairs.partition_point(|(name, _)| name.as_str() < CODE);
        let mut before_code = String::new();
        for (name, value) in &pairs[..split] {
            push_pair(&mut before_code, name, value);
            before_code.push(',');
        }
        let mut after_code = String::new();
        for (index, (name, value)) in pairs[split..].iter().enumerate() {
            if index > 0 {
                after_code.push(',');
            }
            push_pair(&mut after_code, name, value);
        }
        Self {
            pairs: pairs.into(),
            before_code: before_code.into(),
            after_code: after_code.into(),
        }
    }
}

/// Appends `name="value"`, escaped.
pub(crate) fn push_pair(out: &mut String, name: &str, value: &str) {
    out.push_str(name);
    out.push_str("=\"");
    push_escaped(out, value, true);
    out.push('"');
}

pub(crate) fn push_escaped(out: &mut String, text: &str, quotes: bool) {
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '"' if quotes => out.push_str("\\\""),
            _ => out.push(c),
        }
    }
}
