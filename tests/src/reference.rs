//! The contracts as one Markdown page, from the services' descriptor sets and their comments.

use std::fmt::Write;

use prost::Message;
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{
    DescriptorProto, FieldDescriptorProto, FileDescriptorProto, FileDescriptorSet,
    MethodDescriptorProto,
};
use vitalmesh_chassis::{Contracts, Running};

const INTRODUCTION: &str = "# Contracts

The contracts of the services, generated from the files in `proto/`: do not edit this page, run
`just generate`. A test fails where it is out of date. Services offer the same by gRPC reflection.
Each method lists the statuses of its own. Any call can also fail with `DEADLINE_EXCEEDED`, with
`RESOURCE_EXHAUSTED` above the limit of concurrent calls, and with `INTERNAL`. [API_VERSIONS.md](API_VERSIONS.md) says how contracts change.
";

const LEGACY: &str = "
## Old contracts

The contracts of older clients. The methods above serve them, with the same statuses, limits and
meanings. `--legacy-names=off` disables them.
";

/// The contracts of one service.
#[derive(Clone, Debug)]
pub struct Served {
    name: &'static str,
    contracts: Contracts,
}

/// The page of one file.
struct Page<'a> {
    file: &'a FileDescriptorProto,
    text: String,
}

/// The page of these services.
///
/// # Panics
///
/// A descriptor set is invalid.
pub fn reference(services: &[Served]) -> String {
    let mut text = INTRODUCTION.to_owned();
    for service in services {
        for set in &service.contracts.served {
            text += &contract(set, service.name, &[]);
        }
    }
    text += LEGACY;
    for service in services {
        for old in &service.contracts.legacy {
            text += &contract(old.descriptor_set, service.name, old.answered_by);
        }
    }
    text
}

fn contract(descriptor_set: &[u8], service: &str, answered_by: &[(&str, &str)]) -> String {
    let files = FileDescriptorSet::decode(descriptor_set).unwrap().file;
    let ours = files
        .iter()
        .filter(|file| !file.name().starts_with("google/"));
    ours.map(|file| Page::new(file).write(service, answered_by))
        .collect()
}

// === impl Served ===

impl Served {
    /// The contracts that a running service has registered.
    pub fn by(service: &Running) -> Self {
        Self {
            name: service.name(),
            contracts: service.contracts().clone(),
        }
    }
}

// === impl Page ===

impl<'a> Page<'a> {
    const fn new(file: &'a FileDescriptorProto) -> Self {
        let text = String::new();
        Self { file, text }
    }

    fn write(mut self, server: &str, answered_by: &[(&str, &str)]) -> String {
        let file = self.file;
        for (at, service) in (0..).zip(&file.service) {
            let name = match file.package() {
                "" => service.name().to_owned(),
                package => format!("{package}.{}", service.name()),
            };
            self.line(&format!("\n## {name}\n"));
            self.paragraph(&[6, at]);
            self.line(&format!("Served by {server}; `proto/{}`.", file.name()));
            for (method_at, method) in (0..).zip(&service.method) {
                self.method(method);
                self.paragraph(&[6, at, 2, method_at]);
                let path = format!("{name}/{}", method.name());
                if let Some((_, new)) = answered_by.iter().find(|(old, _)| *old == path) {
                    self.line(&format!("Served by `{new}`."));
                }
            }
        }
        for (at, message) in (0..).zip(&file.message_type) {
            self.message(message, at);
        }
        self.text.replace("\n\n\n", "\n\n")
    }

    fn method(&mut self, method: &MethodDescriptorProto) {
        let stream = |streams| if streams { "stream " } else { "" };
        let line = format!(
            "\n### {name}\n\n`rpc {name}({}{}) returns ({}{})`\n",
            stream(method.client_streaming()),
            self.short(method.input_type()),
            stream(method.server_streaming()),
            self.short(method.output_type()),
            name = method.name(),
        );
        self.line(&line);
    }

    fn message(&mut self, message: &DescriptorProto, at: i32) {
        self.line(&format!("\n### {}\n", message.name()));
        self.paragraph(&[4, at]);
        if message.field.is_empty() {
            self.line("No fields.");
            return;
        }
        self.line("| number | field | type | meaning |\n|---|---|---|---|");
        for (field_at, field) in (0..).zip(&message.field) {
            let meaning = self.comment(&[4, at, 2, field_at]).replace('\n', " ");
            let line = format!(
                "| {} | `{}` | {} | {} |",
                field.number(),
                field.name(),
                self.kind(field),
                meaning.trim().replace('|', "\\|"),
            );
            self.line(&line);
        }
    }

    fn kind(&self, field: &FieldDescriptorProto) -> String {
        let kind = match field.r#type() {
            Type::Message | Type::Enum => self.short(field.type_name()),
            scalar => {
                let name = scalar.as_str_name().trim_start_matches("TYPE_");
                name.to_lowercase()
            }
        };
        match field.label() {
            Label::Repeated => format!("repeated {kind}"),
            _ if field.proto3_optional() => format!("optional {kind}"),
            _ => kind,
        }
    }

    /// The name of a type, without the package of this file.
    fn short(&self, name: &str) -> String {
        let name = name.trim_start_matches('.');
        let package = format!("{}.", self.file.package());
        name.strip_prefix(&package).unwrap_or(name).to_owned()
    }

    fn comment(&self, path: &[i32]) -> String {
        let locations = self.file.source_code_info.iter().flat_map(|i| &i.location);
        let mut found = locations.filter(|location| location.path == path);
        let comment = found.next().map(|location| location.leading_comments());
        let lines = comment.unwrap_or_default().lines();
        let lines: Vec<_> = lines
            .map(|line| line.strip_prefix(' ').unwrap_or(line))
            .collect();
        lines.join("\n")
    }

    /// Writes the comment at a path, with its statuses as a list.
    fn paragraph(&mut self, path: &[i32]) {
        let comment = self.comment(path);
        if comment.trim().is_empty() {
            return;
        }
        for line in comment.trim().lines() {
            match line.split_once(':') {
                Some((code, meaning)) if is_status(code) => {
                    self.line(&format!("* `{code}`:{meaning}"));
                }
                _ => self.line(line),
            }
        }
        self.line("");
    }

    fn line(&mut self, line: &str) {
        writeln!(self.text, "{line}").unwrap();
    }
}

fn is_status(word: &str) -> bool {
    !word.is_empty() && word.bytes().all(|b| b.is_ascii_uppercase() || b == b'_')
}
