//! Methods, messages and enums of descriptor sets, by name.

use std::collections::HashMap;

use prost::{DecodeError, Message as _};

use super::descriptor::{
    EnumType, EnumValue, FeatureSet, FieldType, FileSet, MessageType, Method, Range, feature,
};
use super::field::{Field, Presence};

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

/// The scope that declares an extension, the message that it extends, and the field.
type Extension = (String, String, Field);

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
        let mut extensions = Vec::new();
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
                extend(&mut extensions, &package, file.extension, features);
                for message in file.message_type {
                    contracts.add_message(&package, message, features, &mut extensions);
                }
                for declared in file.enum_type {
                    contracts.add_enum(&package, declared, features);
                }
            }
        }
        for (scope, extendee, field) in extensions {
            let extended = contracts.resolve(&scope, &extendee);
            if let Some(message) = contracts.messages.get_mut(&extended) {
                message.fields.push(field);
            }
        }
        Ok(contracts)
    }

    fn add_message(
        &mut self,
        scope: &str,
        message: MessageType,
        features: FeatureSet,
        extensions: &mut Vec<Extension>,
    ) {
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
                read.form.set_length_prefixed();
            }
            read
        });
        let read = Message {
            fields: fields.collect(),
            reserved: message.reserved_range,
        };
        extend(extensions, &name, message.extension, features);
        for nested in message.nested_type {
            self.add_message(&name, nested, features, extensions);
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

/// Reads the extensions that `scope` declares.
fn extend(
    extensions: &mut Vec<Extension>,
    scope: &str,
    declared: Vec<FieldType>,
    features: FeatureSet,
) {
    for field in declared {
        let read = Field::new(&field, features, false);
        extensions.push((scope.to_owned(), field.extendee, read));
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
