//! The gRPC methods that a server knows, from its descriptor sets.

use std::collections::HashMap;
use std::sync::Arc;

use prost::Message;
use prost_types::FileDescriptorSet;

/// Looks a request's path up without trusting it.
#[derive(Debug, Default)]
pub(crate) struct Methods {
    by_path: HashMap<Arc<str>, Shape>,
    services: Vec<String>,
}

/// How long a method's calls may last by nature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    Unary,
    Streaming,
}

// === impl Methods ===

impl Methods {
    /// Adds every method of an encoded descriptor set.
    pub(crate) fn add(&mut self, descriptor_set: &[u8]) -> Result<(), prost::DecodeError> {
        for file in FileDescriptorSet::decode(descriptor_set)?.file {
            for service in &file.service {
                let service_name = match file.package() {
                    "" => service.name().to_owned(),
                    package => format!("{package}.{}", service.name()),
                };
                for method in &service.method {
                    let shape = match method.client_streaming() || method.server_streaming() {
                        true => Shape::Streaming,
                        false => Shape::Unary,
                    };
                    let path = format!("/{service_name}/{}", method.name());
                    self.by_path.insert(path.into(), shape);
                }
                self.services.push(service_name);
            }
        }
        Ok(())
    }

    /// The full names of the services, such as `vitalmesh.time.v1.TimeService`.
    pub(crate) fn services(&self) -> &[String] {
        &self.services
    }

    /// The known method with this path.
    pub(crate) fn find(&self, path: &str) -> Option<(Arc<str>, Shape)> {
        let (path, shape) = self.by_path.get_key_value(path)?;
        Some((Arc::clone(path), *shape))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_are_found_by_their_path_with_their_shape() {
        let mut methods = Methods::default();
        methods
            .add(vitalmesh_proto::time::v1::FILE_DESCRIPTOR_SET)
            .unwrap();
        methods.add(tonic_health::pb::FILE_DESCRIPTOR_SET).unwrap();
        assert_eq!(
            methods.services(),
            ["vitalmesh.time.v1.TimeService", "grpc.health.v1.Health"]
        );
        let shape = |path| methods.find(path).map(|(_, shape)| shape);
        assert_eq!(
            shape("/vitalmesh.time.v1.TimeService/WhatTimeIs"),
            Some(Shape::Unary)
        );
        assert_eq!(
            shape("/grpc.health.v1.Health/Watch"),
            Some(Shape::Streaming)
        );
        assert_eq!(shape("/grpc.health.v1.Health/Nope"), None);
    }
}
