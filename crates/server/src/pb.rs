//! Messages, clients and servers of gRPC's own services.
#![allow(missing_docs, reason = "generated code; the proto files document it")]

/// `grpc.health.v1`.
pub mod health {
    include!(concat!(env!("OUT_DIR"), "/grpc.health.v1.rs"));
    include!(concat!(env!("OUT_DIR"), "/server/grpc.health.v1.rs"));

    /// The encoded `FileDescriptorSet` of `grpc/health/v1/health.proto`.
    pub const FILE_DESCRIPTOR_SET: &[u8] =
        include_bytes!(concat!(env!("OUT_DIR"), "/health.binpb"));
}

/// `grpc.reflection.v1`. The messages of `v1alpha` are the same.
pub mod reflection {
    include!(concat!(env!("OUT_DIR"), "/grpc.reflection.v1.rs"));
    include!(concat!(env!("OUT_DIR"), "/server/grpc.reflection.v1.rs"));

    /// The encoded `FileDescriptorSet` of `grpc/reflection/v1/reflection.proto`.
    pub const FILE_DESCRIPTOR_SET: &[u8] =
        include_bytes!(concat!(env!("OUT_DIR"), "/reflection.binpb"));
    /// The encoded `FileDescriptorSet` of `grpc/reflection/v1alpha/reflection.proto`.
    pub const ALPHA_FILE_DESCRIPTOR_SET: &[u8] =
        include_bytes!(concat!(env!("OUT_DIR"), "/reflection_alpha.binpb"));
}
