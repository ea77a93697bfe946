//! Contracts of older clients, served beside the current ones.
//!
//! A table beside the old descriptor set names the method that answers each old one. The old proto
//! stays the file that old clients were generated from, without an option or import of ours.

mod compare;
mod contracts;
mod descriptor;
mod field;
mod mismatch;

use std::collections::HashSet;

use http::uri::{PathAndQuery, Uri};

pub use self::mismatch::Mismatch;

use self::contracts::Contracts;
use self::descriptor::Method;

/// The contract of older clients, and the methods that answer it.
#[derive(Clone, Copy, Debug)]
pub struct LegacyContract {
    /// Its encoded `FileDescriptorSet`.
    pub descriptor_set: &'static [u8],
    /// Each of its methods with the served method that answers it, both as
    /// `package.Service/Method`.
    pub answered_by: &'static [(&'static str, &'static str)],
}

/// An old method whose messages are compatible on the wire with the method that answers it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Alias {
    /// `package.Service`.
    pub(crate) old_service: &'static str,
    /// `/package.Service/Method`.
    pub(crate) old_path: String,
    /// `package.Service`.
    pub(crate) service: &'static str,
    /// `/package.Service/Method`.
    pub(crate) uri: Uri,
}

/// Why a legacy contract cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum LegacyError {
    /// The bytes are not an encoded `FileDescriptorSet`.
    #[error("a descriptor set cannot be decoded: {0}")]
    Decode(#[from] prost::DecodeError),
    /// No method answers a method of the old contract.
    #[error("no method answers the old method {0}; add one to `answered_by`")]
    Unanswered(String),
    /// Two entries answer the same old method.
    #[error("two methods answer the old method {0}; keep one in `answered_by`")]
    Ambiguous(&'static str),
    /// The old contract has no such method.
    #[error("the old contract has no method {0}; its methods are named package.Service/Method")]
    NoSuchMethod(&'static str),
    /// The old name belongs to a service that is served itself.
    #[error("{0} is served itself; serve it or the legacy contract, not both")]
    Served(&'static str),
    /// The method that answers is not served here.
    #[error("{old} is answered by {new}, which is not served here")]
    NotServed {
        /// The old method.
        old: &'static str,
        /// The method that answers it.
        new: &'static str,
    },
    /// No server implements the method that answers.
    #[error("{old} is answered by {new}, which has no registered server")]
    NoHandler {
        /// The path of the old method.
        old: String,
        /// The service that answers it.
        new: &'static str,
    },
    /// The two methods do not stream alike.
    #[error("{old} and {new}, which answers it, do not stream alike")]
    Streaming {
        /// The old method.
        old: &'static str,
        /// The method that answers it.
        new: &'static str,
    },
    /// The messages are not compatible on the wire.
    #[error("{old} cannot be answered by {new}: {mismatch}")]
    Message {
        /// The old method.
        old: &'static str,
        /// The method that answers it.
        new: &'static str,
        /// The first difference.
        mismatch: Box<Mismatch>,
    },
}

/// Finds and checks the method that answers each method of the legacy contracts.
pub(crate) fn resolve(
    legacy: &[LegacyContract],
    served: &[&[u8]],
) -> Result<Vec<Alias>, LegacyError> {
    let served = Contracts::read(served)?;
    let mut aliases = Vec::new();
    let mut seen = HashSet::new();
    for contract in legacy {
        let old = Contracts::read(&[contract.descriptor_set])?;
        for names in contract.answered_by {
            if !seen.insert(names.0) {
                return Err(LegacyError::Ambiguous(names.0));
            }
            aliases.push(alias(&old, &served, *names)?);
        }
        let answered: HashSet<_> = contract.answered_by.iter().map(|(old, _)| *old).collect();
        let unanswered = old.methods().find(|name| !answered.contains(name));
        if let Some(name) = unanswered {
            return Err(LegacyError::Unanswered(name.to_owned()));
        }
    }
    Ok(aliases)
}

fn alias(
    old_contracts: &Contracts,
    served: &Contracts,
    (old, new): (&'static str, &'static str),
) -> Result<Alias, LegacyError> {
    let no_such_method = || LegacyError::NoSuchMethod(old);
    let not_served = || LegacyError::NotServed { old, new };
    let (old_service, _) = old.split_once('/').ok_or_else(no_such_method)?;
    let (service, _) = new.split_once('/').ok_or_else(not_served)?;
    if served.has_service(old_service) {
        return Err(LegacyError::Served(old_service));
    }
    let old_method = old_contracts.method(old).ok_or_else(no_such_method)?;
    let new_method = served.method(new).ok_or_else(not_served)?;
    let streams = |method: &Method| (method.client_streaming, method.server_streaming);
    if streams(old_method) != streams(new_method) {
        return Err(LegacyError::Streaming { old, new });
    }
    let (old_side, new_side) = ((old_service, old_method), (service, new_method));
    compare::compare(old_contracts, old_side, served, new_side).map_err(|mismatch| {
        let mismatch = Box::new(mismatch);
        LegacyError::Message { old, new, mismatch }
    })?;
    let path = PathAndQuery::try_from(format!("/{new}")).map_err(|_| not_served())?;
    Ok(Alias {
        old_service,
        old_path: format!("/{old}"),
        service,
        uri: path.into(),
    })
}

// === impl LegacyError ===

impl LegacyError {
    /// The descriptor sets have the method that answers, but no server implements it.
    pub(crate) fn no_handler(alias: &Alias) -> Self {
        Self::NoHandler {
            old: alias.old_path.clone(),
            new: alias.service,
        }
    }
}

#[cfg(test)]
mod tests {
    use vitalmesh_proto::{counter, legacy, revert_name, time};

    use super::*;

    const TIME: LegacyContract = LegacyContract {
        descriptor_set: legacy::TIME,
        answered_by: &[(
            "dj.grpc.time.TimeProcedureApi/WhatTimeIs",
            "vitalmesh.time.v1.TimeService/WhatTimeIs",
        )],
    };

    fn refusal(legacy: LegacyContract, served: &[&[u8]]) -> String {
        resolve(&[legacy], served).unwrap_err().to_string()
    }

    #[test]
    fn an_old_method_resolves_to_the_one_that_answers_it() {
        let aliases = resolve(&[TIME], &[time::v1::FILE_DESCRIPTOR_SET]).unwrap();
        let expected = Alias {
            old_service: "dj.grpc.time.TimeProcedureApi",
            old_path: "/dj.grpc.time.TimeProcedureApi/WhatTimeIs".to_owned(),
            service: "vitalmesh.time.v1.TimeService",
            uri: Uri::from_static("/vitalmesh.time.v1.TimeService/WhatTimeIs"),
        };
        assert_eq!(aliases, [expected]);
    }

    #[test]
    fn an_old_method_that_no_method_answers_is_rejected() {
        let unanswered = LegacyContract {
            answered_by: &[],
            ..TIME
        };
        assert_eq!(
            refusal(unanswered, &[time::v1::FILE_DESCRIPTOR_SET]),
            "no method answers the old method dj.grpc.time.TimeProcedureApi/WhatTimeIs; add one to \
             `answered_by`"
        );
        assert_eq!(
            refusal(TIME, &[revert_name::v1::FILE_DESCRIPTOR_SET]),
            "dj.grpc.time.TimeProcedureApi/WhatTimeIs is answered by \
             vitalmesh.time.v1.TimeService/WhatTimeIs, which is not served here"
        );
    }

    #[test]
    fn an_old_name_that_is_also_served_is_rejected() {
        let served = LegacyContract {
            descriptor_set: time::v1::FILE_DESCRIPTOR_SET,
            answered_by: &[(
                "vitalmesh.time.v1.TimeService/WhatTimeIs",
                "vitalmesh.time.v1.TimeService/WhatTimeIs",
            )],
        };
        assert_eq!(
            refusal(served, &[time::v1::FILE_DESCRIPTOR_SET]),
            "vitalmesh.time.v1.TimeService is served itself; serve it or the legacy contract, not both"
        );
    }

    #[test]
    fn an_old_method_that_two_methods_answer_is_rejected() {
        let expected = "two methods answer the old method \
                        dj.grpc.time.TimeProcedureApi/WhatTimeIs; keep one in `answered_by`";
        let twice = LegacyContract {
            answered_by: const { &[TIME.answered_by[0], TIME.answered_by[0]] },
            ..TIME
        };
        assert_eq!(refusal(twice, &[time::v1::FILE_DESCRIPTOR_SET]), expected);
        let error = resolve(&[TIME, TIME], &[time::v1::FILE_DESCRIPTOR_SET]).unwrap_err();
        assert_eq!(error.to_string(), expected);
    }

    #[test]
    fn a_method_that_the_old_contract_lacks_is_rejected() {
        let misspelled = LegacyContract {
            answered_by: const { &[("TimeProcedureApi/WhatTimeIs", TIME.answered_by[0].1)] },
            ..TIME
        };
        assert_eq!(
            refusal(misspelled, &[time::v1::FILE_DESCRIPTOR_SET]),
            "the old contract has no method TimeProcedureApi/WhatTimeIs; its methods are named \
             package.Service/Method"
        );
        let no_set = LegacyContract {
            descriptor_set: b"\xff",
            ..TIME
        };
        let error = refusal(no_set, &[time::v1::FILE_DESCRIPTOR_SET]);
        assert!(error.starts_with("a descriptor set cannot be"), "{error}");
    }

    #[test]
    fn different_streaming_or_messages_are_rejected() {
        let increase = |new| LegacyContract {
            descriptor_set: legacy::PYTHON_TO_PYTHON_SIMPLE,
            answered_by: new,
        };
        let old = "python_to_python_simple.Simple_python_python/increase";
        let stream = increase(&[(
            "python_to_python_simple.Simple_python_python/increase",
            "vitalmesh.counter.v1.CounterService/IncreaseStream",
        )]);
        assert_eq!(
            refusal(stream, &[counter::v1::FILE_DESCRIPTOR_SET]),
            format!(
                "{old} and vitalmesh.counter.v1.CounterService/IncreaseStream, which answers \
                 it, do not stream alike"
            )
        );
        let other = increase(&[(
            "python_to_python_simple.Simple_python_python/increase",
            "vitalmesh.revert_name.v1.RevertNameService/RevertName",
        )]);
        assert_eq!(
            refusal(other, &[revert_name::v1::FILE_DESCRIPTOR_SET]),
            format!(
                "{old} cannot be answered by \
                 vitalmesh.revert_name.v1.RevertNameService/RevertName: field num = 1 has another \
                 type or label in vitalmesh.revert_name.v1.RevertNameRequest"
            )
        );
    }
}
