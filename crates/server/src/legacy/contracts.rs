//! Methods, messages and enums of descriptor sets, by name.

use std::collections::HashMap;

use prost::{DecodeError, Message as _};
use prost_types::field_descriptor_proto::{Label, Type};

use super::descriptor::{
    EnumType, EnumValue, FeatureSet, FieldType, FileSet, MessageType, Method, Range, feature,
};

/// Methods, messages and enums of descriptor sets, by full name.
#[derive(Debug, Default)]
pub(super) struct Contracts {
    /// By `package.Service/Method`.
    methods: HashMap<String, Method>,
    messages: HashMap<String, Message>,
    enums: HashMap<String, Enum>,
}

/// A message, nested or not.
#[derive(Debug)]
pub(super) struct Message {
    pub(super) fields: Vec<Field>,
    reserved: Vec<Range>,
}

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

#[derive(Debug)]
pub(super) struct Enum {
    pub(super) values: Vec<EnumValue>,
    /// Parsers of a closed enum drop the values that it does not have.
    pub(super) closed: bool,
}

// === impl Contracts ===

impl Contracts {
    pub(super) fn read(descriptor_sets: &[&[u8]]) -> Result<Self, DecodeError> {
        let mut contracts = Self::default();
        for set in descriptor_sets {
            for file in FileSet::decode(*set)?.file {
                let package = file.package;
                let features = FeatureSet::of_syntax(&file.syntax)
                    .with(file.options.and_then(|options| options.features));
                for service in file.service {
                    let service_name = scoped(&package, &service.name);
                    for method in service.method {
                        let name = format!("{service_name}/{}", method.name);
                        contracts.methods.insert(name, method);
                    }
                }
                for message in file.message_type {
                    contracts.add_message(&package, message, features);
                }
                for declared in file.enum_type {
                    contracts.add_enum(&package, declared, features);
                }
            }
        }
        Ok(contracts)
    }

    fn add_message(&mut self, scope: &str, message: MessageType, features: FeatureSet) {
        let name = scoped(scope, &message.name);
        let options = message.options.unwrap_or_default();
        let features = features.with(options.features);
        let is_map = |field: &FieldType| {
            message.nested_type.iter().any(|nested| {
                let is_entry = nested.options.is_some_and(|options| options.map_entry);
                is_entry && last_part(&field.type_name) == nested.name
            })
        };
        let fields = message.field.iter();
        let fields = fields.map(|field| {
            let mut read = Field::new(field, features, is_map(field));
            if options.map_entry {
                // Readers of a map do not see whether the key or the value is there.
                read.presence = Presence::Implicit;
            }
            read
        });
        let read = Message {
            fields: fields.collect(),
            reserved: message.reserved_range,
        };
        for nested in message.nested_type {
            self.add_message(&name, nested, features);
        }
        for declared in message.enum_type {
            self.add_enum(&name, declared, features);
        }
        self.messages.insert(name, read);
    }

    fn add_enum(&mut self, scope: &str, declared: EnumType, features: FeatureSet) {
        let features = features.with(declared.options.and_then(|options| options.features));
        let name = scoped(scope, &declared.name);
        let read = Enum {
            values: declared.value,
            closed: features.enum_type == feature::CLOSED,
        };
        self.enums.insert(name, read);
    }

    pub(super) fn methods(&self) -> impl Iterator<Item = &str> {
        self.methods.keys().map(String::as_str)
    }

    pub(super) fn has_service(&self, name: &str) -> bool {
        let mut services = self.methods().filter_map(|method| method.split_once('/'));
        services.any(|(service, _)| service == name)
    }

    pub(super) fn method(&self, name: &str) -> Option<&Method> {
        self.methods.get(name)
    }

    pub(super) fn message(&self, name: &str) -> Option<&Message> {
        self.messages.get(name)
    }

    pub(super) fn declared_enum(&self, name: &str) -> Option<&Enum> {
        self.enums.get(name)
    }

    /// The full name of a type that a file mentions within `scope`: with a leading dot, or relative
    /// to the scope or one around it.
    pub(super) fn resolve(&self, scope: &str, name: &str) -> String {
        if let Some(full) = name.strip_prefix('.') {
            return full.to_owned();
        }
        let mut scope = Some(scope);
        while let Some(inner) = scope {
            let candidate = scoped(inner, name);
            if self.messages.contains_key(&candidate) || self.enums.contains_key(&candidate) {
                return candidate;
            }
            scope = match inner.rsplit_once('.') {
                Some((outer, _)) => Some(outer),
                None if inner.is_empty() => None,
                None => Some(""),
            };
        }
        name.to_owned()
    }
}

// === impl Message ===

impl Message {
    pub(super) fn field(&self, number: i32) -> Option<&Field> {
        self.fields.iter().find(|field| field.number == number)
    }

    pub(super) fn reserves(&self, number: i32) -> bool {
        let mut ranges = self.reserved.iter();
        ranges.any(|range| (range.start..range.end).contains(&number))
    }
}

// === impl Field ===

impl Field {
    fn new(field: &FieldType, features: FeatureSet, map: bool) -> Self {
        let features = features.with(field.options.and_then(|options| options.features));
        let delimited = features.message_encoding == feature::DELIMITED && !map;
        let kind = match Type::try_from(field.r#type) {
            Ok(Type::Group) => Kind::Message { delimited: true },
            Ok(Type::Message) => Kind::Message { delimited },
            Ok(Type::Enum) => Kind::Enum,
            Ok(scalar) => Kind::Scalar(scalar),
            Err(_) => Kind::Unknown,
        };
        let oneof = field.oneof_index.filter(|_| !field.proto3_optional);
        let is_explicit = field.proto3_optional || oneof.is_some();
        let repeated = field.label == i32::from(Label::Repeated);
        let presence = match features.field_presence {
            _ if repeated => Presence::Explicit,
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
            form: Form {
                kind,
                repeated,
                map,
            },
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
}

fn scoped(scope: &str, name: &str) -> String {
    match scope {
        "" => name.to_owned(),
        scope => format!("{scope}.{name}"),
    }
}

fn last_part(name: &str) -> &str {
    name.rsplit_once('.').map_or(name, |(_, last)| last)
}
