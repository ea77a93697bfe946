//! The files of descriptor sets, by name, symbol and extension.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, HashMap, HashSet};

use prost::bytes::Bytes;
use prost::{DecodeError, Message};
use prost_types::{
    DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorProto,
};

/// The files of descriptor sets. A file is its index in `files`.
#[derive(Debug, Default)]
pub(crate) struct Files {
    files: Vec<File>,
    by_name: HashMap<String, usize>,
    by_symbol: HashMap<String, usize>,
    /// By extended message and number.
    by_extension: BTreeMap<String, BTreeMap<i32, usize>>,
    messages: HashSet<String>,
}

#[derive(Debug)]
struct File {
    /// As the set has it. Decoding would lose custom options.
    encoded: Bytes,
    imports: Vec<String>,
}

/// A `FileDescriptorSet` with encoded files.
#[derive(Clone, PartialEq, Message)]
struct EncodedSet {
    #[prost(bytes = "bytes", repeated, tag = "1")]
    file: Vec<Bytes>,
}

// === impl Files ===

impl Files {
    /// Reads encoded descriptor sets. Of two files with one name, the first is found by that name;
    /// the symbols of both are found.
    pub(crate) fn read<'a>(
        descriptor_sets: impl IntoIterator<Item = &'a [u8]>,
    ) -> Result<Self, DecodeError> {
        let mut files = Self::default();
        for set in descriptor_sets {
            for encoded in EncodedSet::decode(set)?.file {
                if files.files.iter().all(|file| file.encoded != encoded) {
                    files.add(encoded)?;
                }
            }
        }
        Ok(files)
    }

    fn add(&mut self, encoded: Bytes) -> Result<(), DecodeError> {
        let file = FileDescriptorProto::decode(encoded.clone())?;
        let index = self.files.len();
        let name = file.name().to_owned();
        self.by_name.entry(name).or_insert(index);
        let package = file.package();
        for message in &file.message_type {
            self.add_message(package, message, index);
        }
        for declared in &file.enum_type {
            self.add_enum(package, declared, index);
        }
        for extension in &file.extension {
            self.add_extension(package, extension, index);
        }
        for service in &file.service {
            let name = self.add_symbol(package, service.name(), index);
            for method in &service.method {
                self.add_symbol(&name, method.name(), index);
            }
        }
        self.files.push(File {
            encoded,
            imports: file.dependency,
        });
        Ok(())
    }

    fn add_message(&mut self, scope: &str, message: &DescriptorProto, file: usize) {
        let name = self.add_symbol(scope, message.name(), file);
        for field in &message.field {
            self.add_symbol(&name, field.name(), file);
        }
        for oneof in &message.oneof_decl {
            self.add_symbol(&name, oneof.name(), file);
        }
        for nested in &message.nested_type {
            self.add_message(&name, nested, file);
        }
        for declared in &message.enum_type {
            self.add_enum(&name, declared, file);
        }
        for extension in &message.extension {
            self.add_extension(&name, extension, file);
        }
        self.messages.insert(name);
    }

    /// The name of a value is in the enum's scope by protobuf's rules, and below the enum in some
    /// clients.
    fn add_enum(&mut self, scope: &str, declared: &EnumDescriptorProto, file: usize) {
        let name = self.add_symbol(scope, declared.name(), file);
        for value in &declared.value {
            self.add_symbol(scope, value.name(), file);
            self.add_symbol(&name, value.name(), file);
        }
    }

    fn add_extension(&mut self, scope: &str, extension: &FieldDescriptorProto, file: usize) {
        self.add_symbol(scope, extension.name(), file);
        let message = absolute(extension.extendee()).to_owned();
        let numbers = self.by_extension.entry(message).or_default();
        if let Entry::Vacant(entry) = numbers.entry(extension.number()) {
            entry.insert(file);
        }
    }

    fn add_symbol(&mut self, scope: &str, name: &str, file: usize) -> String {
        let name = match scope {
            "" => name.to_owned(),
            scope => format!("{scope}.{name}"),
        };
        self.by_symbol.entry(name.clone()).or_insert(file);
        name
    }

    pub(super) fn named(&self, name: &str) -> Option<usize> {
        self.by_name.get(name).copied()
    }

    pub(super) fn declaring(&self, symbol: &str) -> Option<usize> {
        self.by_symbol.get(absolute(symbol)).copied()
    }

    pub(super) fn extending(&self, message: &str, number: i32) -> Option<usize> {
        let numbers = self.by_extension.get(absolute(message))?;
        numbers.get(&number).copied()
    }

    /// The numbers of a message's extensions; `None` if there is no such message.
    pub(super) fn extension_numbers(&self, message: &str) -> Option<Vec<i32>> {
        let message = absolute(message);
        let numbers = self.by_extension.get(message);
        match numbers {
            Some(numbers) => Some(numbers.keys().copied().collect()),
            None => self.messages.contains(message).then(Vec::new),
        }
    }

    /// The encoded file, followed by its direct and indirect imports that are not in `sent`. Adds all
    /// of them to `sent`.
    pub(super) fn with_imports(&self, file: usize, sent: &mut HashSet<usize>) -> Vec<Vec<u8>> {
        let mut queue = vec![file];
        sent.insert(file);
        let mut next = 0;
        while let Some(file) = queue.get(next).and_then(|file| self.files.get(*file)) {
            let imports = file.imports.iter().filter_map(|name| self.named(name));
            queue.extend(imports.filter(|import| sent.insert(*import)));
            next += 1;
        }
        let encoded = queue.iter().filter_map(|file| self.files.get(*file));
        encoded.map(|file| file.encoded.to_vec()).collect()
    }
}

/// A name without the dot that marks it as fully qualified.
fn absolute(name: &str) -> &str {
    name.strip_prefix('.').unwrap_or(name)
}
