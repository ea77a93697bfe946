//! Reads methods and their types from encoded descriptor sets.
//!
//! The messages are declared here with the fields that matter alone. So options, source information,
//! imports and the types of messages can be missing, unknown or invalid: only what is used can fail.

use prost::Message;

use super::error::DescriptorSetError;
use crate::series::{Kind, MethodSpec};

#[derive(Message)]
struct FileDescriptorSet {
    #[prost(message, repeated, tag = "1")]
    file: Vec<FileDescriptorProto>,
}

#[derive(Message)]
struct FileDescriptorProto {
    #[prost(string, tag = "2")]
    package: String,
    #[prost(message, repeated, tag = "6")]
    service: Vec<ServiceDescriptorProto>,
}

#[derive(Message)]
struct ServiceDescriptorProto {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(message, repeated, tag = "2")]
    method: Vec<MethodDescriptorProto>,
}

#[derive(Message)]
struct MethodDescriptorProto {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(bool, tag = "5")]
    client_streaming: bool,
    #[prost(bool, tag = "6")]
    server_streaming: bool,
}

pub(crate) fn methods(descriptor_set: &[u8]) -> Result<Vec<MethodSpec>, DescriptorSetError> {
    let set = FileDescriptorSet::decode(descriptor_set);
    let set = set.map_err(|error| DescriptorSetError::decode(descriptor_set, error))?;
    let mut methods = Vec::new();
    for file in &set.file {
        for service in &file.service {
            let name = qualified(&file.package, &service.name);
            methods.extend(service.method.iter().map(|method| MethodSpec {
                service: name.clone(),
                method: method.name.clone(),
                kind: Kind::new(method.client_streaming, method.server_streaming),
                declared: true,
            }));
        }
    }
    Ok(methods)
}

fn qualified(package: &str, service: &str) -> String {
    if package.is_empty() {
        service.to_owned()
    } else {
        format!("{package}.{service}")
    }
}
