//! The definitions below `proto/` are the official ones.
#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

use prost::Message;
use prost_types::{FileDescriptorProto, FileDescriptorSet};

const OURS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/otlp.binpb"));

/// The files without comments. Only protoc writes empty method options.
fn files(set: &[u8]) -> Vec<FileDescriptorProto> {
    let mut files = FileDescriptorSet::decode(set).unwrap().file;
    for file in &mut files {
        file.source_code_info = None;
        for method in file
            .service
            .iter_mut()
            .flat_map(|service| &mut service.method)
        {
            method.options.get_or_insert_default();
        }
    }
    files
}

#[test]
fn each_definition_is_the_one_of_the_official_crate() {
    let official = files(opentelemetry_proto::DESCRIPTORS);
    let ours = files(OURS);
    let mut names: Vec<_> = ours.iter().map(FileDescriptorProto::name).collect();
    names.sort_unstable();
    assert_eq!(
        names,
        [
            "opentelemetry/proto/collector/logs/v1/logs_service.proto",
            "opentelemetry/proto/collector/trace/v1/trace_service.proto",
            "opentelemetry/proto/common/v1/common.proto",
            "opentelemetry/proto/logs/v1/logs.proto",
            "opentelemetry/proto/resource/v1/resource.proto",
            "opentelemetry/proto/trace/v1/trace.proto",
        ]
    );
    for file in &ours {
        let same = official.iter().find(|same| same.name() == file.name());
        assert_eq!(Some(file), same);
    }
}
