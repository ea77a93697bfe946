//! Compares the messages of two methods for wire compatibility.

use std::collections::HashMap;

use prost::Message;
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{
    DescriptorProto, FieldDescriptorProto, FileDescriptorSet, MethodDescriptorProto,
};

/// Methods and messages of descriptor sets, by name.
#[derive(Debug, Default)]
pub(super) struct Contracts {
    /// By `package.Service/Method`.
    methods: HashMap<String, MethodDescriptorProto>,
    /// By `package.Message`, without nested messages.
    messages: HashMap<String, DescriptorProto>,
}

/// The first incompatibility between an old message and the one that replaces it.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Mismatch {
    /// The new message does not have the field.
    #[error("field {field} is not in {message}; a request's may be reserved there to be ignored")]
    Missing {
        /// Name and number.
        field: String,
        /// The new message.
        message: String,
    },
    /// The number has another type or label in the new message.
    #[error("field {field} has another type or label in {message}")]
    Differs {
        /// Name and number.
        field: String,
        /// The new message.
        message: String,
    },
    /// The field has a type that is not compared.
    #[error("field {field} is a message, an enum or a group, which are not compared")]
    NotCompared {
        /// Name and number.
        field: String,
    },
    /// The message is not in the descriptor sets.
    #[error("{message} is not in the descriptor set")]
    Unknown {
        /// Its name.
        message: String,
    },
}

/// Who sends a message, which decides what an extra field means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Request,
    Response,
}

/// Checks that the new method reads what the old caller sends, and writes what it expects. A field
/// that only the new messages have is harmless: the old caller omits it, or skips it.
pub(super) fn compare(
    old: &Contracts,
    old_method: &MethodDescriptorProto,
    new: &Contracts,
    new_method: &MethodDescriptorProto,
) -> Result<(), Mismatch> {
    let old_request = old.message(old_method.input_type())?;
    let new_request = new.message(new_method.input_type())?;
    compare_messages(old_request, new_request, Side::Request)?;
    let old_response = old.message(old_method.output_type())?;
    let new_response = new.message(new_method.output_type())?;
    compare_messages(old_response, new_response, Side::Response)
}

/// A message with its full name.
type Named<'a> = (&'a str, &'a DescriptorProto);

fn compare_messages((_, old): Named<'_>, new: Named<'_>, side: Side) -> Result<(), Mismatch> {
    let (new_name, new) = new;
    for old in &old.field {
        let field = || format!("{} = {}", old.name(), old.number());
        let message = || new_name.to_owned();
        if matches!(old.r#type(), Type::Message | Type::Enum | Type::Group) {
            return Err(Mismatch::NotCompared { field: field() });
        }
        let same_number = new.field.iter().find(|new| new.number() == old.number());
        match same_number {
            Some(new) if form(old) == form(new) => {}
            Some(_) => {
                let (field, message) = (field(), message());
                return Err(Mismatch::Differs { field, message });
            }
            None if side == Side::Request && is_reserved(new, old.number()) => {}
            None => {
                let (field, message) = (field(), message());
                return Err(Mismatch::Missing { field, message });
            }
        }
    }
    Ok(())
}

/// The properties on which both ends of a field must agree. Names, packing and presence may
/// differ: parsers accept both packings, and an old sender omits a 0.
fn form(field: &FieldDescriptorProto) -> (Type, Label, bool) {
    let in_oneof = field.oneof_index.is_some() && !field.proto3_optional();
    (field.r#type(), field.label(), in_oneof)
}

fn is_reserved(message: &DescriptorProto, number: i32) -> bool {
    let mut ranges = message.reserved_range.iter();
    ranges.any(|range| (range.start()..range.end()).contains(&number))
}

// === impl Contracts ===

impl Contracts {
    pub(super) fn read(descriptor_sets: &[&[u8]]) -> Result<Self, prost::DecodeError> {
        let mut contracts = Self::default();
        for set in descriptor_sets {
            for file in FileDescriptorSet::decode(*set)?.file {
                let prefix = match file.package() {
                    "" => String::new(),
                    package => format!("{package}."),
                };
                for service in file.service {
                    for method in service.method {
                        let service = service.name.as_deref().unwrap_or_default();
                        let name = format!("{prefix}{service}/{}", method.name());
                        contracts.methods.insert(name, method);
                    }
                }
                for message in file.message_type {
                    let name = format!("{prefix}{}", message.name());
                    contracts.messages.insert(name, message);
                }
            }
        }
        Ok(contracts)
    }

    pub(super) fn methods(&self) -> impl Iterator<Item = &str> {
        self.methods.keys().map(String::as_str)
    }

    pub(super) fn has_service(&self, name: &str) -> bool {
        let mut services = self.methods().filter_map(|method| method.split_once('/'));
        services.any(|(service, _)| service == name)
    }

    pub(super) fn method(&self, name: &str) -> Option<&MethodDescriptorProto> {
        self.methods.get(name)
    }

    /// By the name in a method descriptor, with a leading dot.
    fn message(&self, name: &str) -> Result<Named<'_>, Mismatch> {
        let name = name.trim_start_matches('.');
        let found = self.messages.get_key_value(name);
        found
            .map(|(name, message)| (name.as_str(), message))
            .ok_or_else(|| Mismatch::Unknown {
                message: name.to_owned(),
            })
    }
}

#[cfg(test)]
mod tests {
    use prost_types::descriptor_proto::ReservedRange;

    use super::*;

    fn field(number: i32, kind: Type, label: Label) -> FieldDescriptorProto {
        FieldDescriptorProto {
            name: Some("x".to_owned()),
            number: Some(number),
            label: Some(label.into()),
            r#type: Some(kind.into()),
            ..FieldDescriptorProto::default()
        }
    }

    fn number(number: i32) -> FieldDescriptorProto {
        field(number, Type::Int32, Label::Optional)
    }

    /// Compares two messages of one field each.
    fn verdict(
        old: FieldDescriptorProto,
        new: impl Into<Option<FieldDescriptorProto>>,
        side: Side,
    ) -> Result<(), Mismatch> {
        let message = |field: Option<FieldDescriptorProto>| DescriptorProto {
            field: field.into_iter().collect(),
            reserved_range: vec![ReservedRange {
                start: Some(7),
                end: Some(8),
            }],
            ..DescriptorProto::default()
        };
        let (old, new) = (message(Some(old)), message(new.into()));
        compare_messages(("Old", &old), ("New", &new), side)
    }

    const SIDES: [Side; 2] = [Side::Request, Side::Response];

    #[test]
    fn a_field_with_the_same_number_type_and_label_is_compatible() {
        let renamed = FieldDescriptorProto {
            name: Some("y".to_owned()),
            ..number(1)
        };
        for side in SIDES {
            assert_eq!(verdict(number(1), renamed.clone(), side), Ok(()));
        }
    }

    #[test]
    fn explicit_presence_is_compatible_and_a_oneof_is_not() {
        let optional = FieldDescriptorProto {
            oneof_index: Some(0),
            proto3_optional: Some(true),
            ..number(1)
        };
        let one_of_many = FieldDescriptorProto {
            oneof_index: Some(0),
            ..number(1)
        };
        let differs = Mismatch::Differs {
            field: "x = 1".to_owned(),
            message: "New".to_owned(),
        };
        assert_eq!(verdict(number(1), optional, Side::Request), Ok(()));
        let refused = verdict(number(1), one_of_many, Side::Request);
        assert_eq!(refused, Err(differs));
    }

    #[test]
    fn another_type_or_label_is_incompatible() {
        for new in [
            field(1, Type::Sint32, Label::Optional),
            field(1, Type::Int64, Label::Optional),
            field(1, Type::Int32, Label::Repeated),
            field(1, Type::Int32, Label::Required),
        ] {
            for side in SIDES {
                let refused = verdict(number(1), new.clone(), side).unwrap_err();
                assert_eq!(
                    refused.to_string(),
                    "field x = 1 has another type or label in New"
                );
            }
        }
    }

    #[test]
    fn a_missing_field_is_accepted_only_if_a_request_reserves_it() {
        let missing = |number: i32| {
            Err(Mismatch::Missing {
                field: format!("x = {number}"),
                message: "New".to_owned(),
            })
        };
        assert_eq!(verdict(number(7), None, Side::Request), Ok(()));
        assert_eq!(verdict(number(7), None, Side::Response), missing(7));
        for number_beside in [6, 8] {
            let refused = verdict(number(number_beside), None, Side::Request);
            assert_eq!(refused, missing(number_beside));
        }
    }

    #[test]
    fn a_type_that_is_not_compared_is_rejected() {
        for kind in [Type::Message, Type::Enum, Type::Group] {
            let old = field(1, kind, Label::Optional);
            let refused = verdict(old.clone(), old, Side::Request).unwrap_err();
            let expected = Mismatch::NotCompared {
                field: "x = 1".to_owned(),
            };
            assert_eq!(refused, expected);
        }
    }
}
