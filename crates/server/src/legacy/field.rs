//! A field of a message, as its readers and writers understand it.

use prost_types::field_descriptor_proto::{Label, Type};

use super::contracts::{Contracts, Enum};
use super::descriptor::{FeatureSet, FieldType, feature};
use super::mismatch::Mismatch;

/// The package of Google's types.
pub(super) const WELL_KNOWN: &str = "google.protobuf.";

#[derive(Debug)]
pub(super) struct Field {
    pub(super) name: String,
    pub(super) number: i32,
    pub(super) form: Form,
    pub(super) presence: Presence,
    /// The message or enum, as the file spells it.
    pub(super) type_name: String,
    pub(super) default: Option<String>,
    pub(super) oneof: Option<i32>,
}

/// The properties on which both ends of a field must agree. Names and packing may differ: parsers
/// accept both packings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Form {
    pub(super) kind: Kind,
    repeated: bool,
    map: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Scalar(Type),
    Enum,
    /// With a length, or between the tags of a group.
    Message {
        delimited: bool,
    },
    Unknown,
}

/// When a field is on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Presence {
    /// Unless it is 0 or empty.
    Implicit,
    /// If it is set.
    Explicit,
    /// Always. Parsers reject a message without it.
    Required,
}

// === impl Field ===

impl Field {
    pub(super) fn new(field: &FieldType, features: FeatureSet, map: bool) -> Self {
        let features = features.with(field.options.and_then(|options| options.features));
        let delimited = features.message_encoding == feature::DELIMITED;
        let kind = match Type::try_from(field.r#type) {
            Ok(Type::Group) => Kind::Message { delimited: true },
            Ok(Type::Message) => Kind::Message { delimited },
            Ok(Type::Enum) => Kind::Enum,
            Ok(scalar) => Kind::Scalar(scalar),
            Err(_) => Kind::Unknown,
        };
        let mut form = Form {
            kind,
            repeated: field.label == i32::from(Label::Repeated),
            map,
        };
        if map {
            form.set_length_prefixed();
        }
        let oneof = field.oneof_index.filter(|_| !field.proto3_optional);
        let is_extension = !field.extendee.is_empty();
        let is_explicit = field.proto3_optional || oneof.is_some() || is_extension;
        let presence = match features.field_presence {
            _ if form.repeated => Presence::Explicit,
            _ if field.label == i32::from(Label::Required) => Presence::Required,
            feature::LEGACY_REQUIRED => Presence::Required,
            feature::IMPLICIT if !is_explicit && !matches!(kind, Kind::Message { .. }) => {
                Presence::Implicit
            }
            _ => Presence::Explicit,
        };
        Self {
            name: field.name.clone(),
            number: field.number,
            form,
            presence,
            type_name: field.type_name.clone(),
            default: field.default_value.clone(),
            oneof,
        }
    }

    /// Whether it has one value, which may be absent.
    pub(super) const fn is_singular(&self) -> bool {
        !self.form.repeated
    }

    /// Name and number.
    pub(super) fn spelled(&self) -> String {
        format!("{} = {}", self.name, self.number)
    }

    /// The form, with the kind that a file may leave out.
    pub(super) fn form_in(&self, contracts: &Contracts, type_name: &str) -> Result<Form, Mismatch> {
        let mut form = self.form;
        if form.kind == Kind::Unknown {
            let is_google = type_name.starts_with(WELL_KNOWN);
            form.kind = match contracts.declared_enum(type_name) {
                Some(_) => Kind::Enum,
                None if is_google || contracts.message(type_name).is_some() => {
                    Kind::Message { delimited: false }
                }
                None => return Err(Mismatch::unknown(type_name)),
            };
        }
        Ok(form)
    }

    /// The value of the field if it is absent.
    pub(super) fn absent_value(&self, kind: Kind, declared: Option<&Enum>) -> String {
        let default = self.default.as_deref();
        match kind {
            Kind::Scalar(Type::String | Type::Bytes) => format!("{:?}", default.unwrap_or("")),
            Kind::Scalar(Type::Bool) => default.unwrap_or("false").to_owned(),
            Kind::Scalar(Type::Float | Type::Double) => {
                let value = default.unwrap_or("0").parse::<f64>();
                value.map_or_else(
                    |_| default.unwrap_or_default().to_owned(),
                    |n| n.to_string(),
                )
            }
            Kind::Scalar(_) => default.unwrap_or("0").to_owned(),
            Kind::Enum => {
                let values = declared.map_or(&[][..], |declared| &declared.values);
                let value = match default {
                    Some(default) => values.iter().find(|value| value.name == default),
                    None => values.first(),
                };
                value.map_or(0, |value| value.number).to_string()
            }
            Kind::Message { .. } | Kind::Unknown => "unset".to_owned(),
        }
    }
}

// === impl Form ===

impl Form {
    /// Maps and their values ignore the feature of their file.
    pub(super) fn set_length_prefixed(&mut self) {
        if let Kind::Message { delimited } = &mut self.kind {
            *delimited = false;
        }
    }
}
