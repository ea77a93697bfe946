//! Reads methods and their types from encoded descriptor sets.

use prost::Message;
use prost_types::FileDescriptorSet;

use super::error::Error;
use crate::series::{Kind, MethodSpec};

pub(crate) fn methods(descriptor_set: &[u8]) -> Result<Vec<MethodSpec>, Error> {
    let set = FileDescriptorSet::decode(descriptor_set);
    let set = set.map_err(|error| Error::DescriptorSet(error.into()))?;
    let mut methods = Vec::new();
    for file in &set.file {
        for service in &file.service {
            let name = qualified(file.package(), service.name());
            methods.extend(service.method.iter().map(|method| MethodSpec {
                service: name.clone(),
                method: method.name().to_owned(),
                kind: Kind::new(method.client_streaming(), method.server_streaming()),
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
