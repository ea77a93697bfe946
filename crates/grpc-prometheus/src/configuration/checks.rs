//! Validates options.

use std::collections::HashSet;

use super::error::Error;
use crate::series::{Buckets, ExtraLabel, RpcConventions, labels};

/// Upper limit of label sets per method.
const MAX_LABEL_SETS: usize = 1_024;

/// Label names must be valid and unique, and the number of label sets is limited.
pub(super) fn labels(
    constants: &[(String, String)],
    extra: &[ExtraLabel],
    conventions: RpcConventions,
) -> Result<(), Error> {
    let mut seen: HashSet<_> = labels::reserved(conventions).collect();
    let constants = constants.iter().map(|(name, _)| name.as_str());
    for name in constants.chain(labels::names(extra)) {
        if !is_valid(name) || !seen.insert(name) {
            let name = name.to_owned();
            return Err(Error::LabelName { name });
        }
    }
    let combinations = labels::combinations(extra);
    if combinations > MAX_LABEL_SETS {
        let limit = MAX_LABEL_SETS;
        return Err(Error::TooManyLabelSets {
            combinations,
            limit,
        });
    }
    Ok(())
}

/// Prometheus reserves names with two leading underscores.
fn is_valid(name: &str) -> bool {
    !name.starts_with("__")
        && name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

pub(super) fn namespace(namespace: Option<&str>) -> Result<(), Error> {
    let Some(namespace) = namespace else {
        return Ok(());
    };
    let legal = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    let digit = namespace.starts_with(|c: char| c.is_ascii_digit());
    if namespace.is_empty() || digit || !namespace.chars().all(legal) {
        let namespace = namespace.to_owned();
        return Err(Error::Namespace { namespace });
    }
    Ok(())
}

/// Bounds must be non-empty, finite, non-negative and strictly increasing.
pub(super) fn buckets(family: &'static str, buckets: Option<&Buckets>) -> Result<(), Error> {
    match buckets {
        Some(buckets) if !buckets.are_valid() => Err(Error::Buckets { family }),
        _ => Ok(()),
    }
}
