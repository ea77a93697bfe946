//! Descriptor sets as build systems write them, and methods that they declare differently.

use grpc_prometheus::{
    ClientMetrics, DescriptorSetError, Error, Exposition, LabelStyle, ServerMetrics,
};
use prost::encoding::{WireType, encode_key, encode_varint};

use crate::{
    echo::{descriptor_set, echo_descriptor_set},
    expect::page,
};

/// A field whose content has a length.
fn field(number: u32, content: impl AsRef<[u8]>) -> Vec<u8> {
    let (mut bytes, content) = (Vec::new(), content.as_ref());
    encode_key(number, WireType::LengthDelimited, &mut bytes);
    encode_varint(content.len() as u64, &mut bytes);
    bytes.extend_from_slice(content);
    bytes
}

fn number(number: u32, value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode_key(number, WireType::Varint, &mut bytes);
    encode_varint(value, &mut bytes);
    bytes
}

/// A group of proto2 with another group in it.
fn group(number: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode_key(number, WireType::StartGroup, &mut bytes);
    encode_key(1, WireType::StartGroup, &mut bytes);
    bytes.extend(field(2, "content"));
    encode_key(1, WireType::EndGroup, &mut bytes);
    encode_key(number, WireType::EndGroup, &mut bytes);
    bytes
}

/// A set with one streaming method, and these bytes in the set, file, service and method.
fn with(set: &[u8], file: &[u8], service: &[u8], method: &[u8]) -> Vec<u8> {
    let method = [field(1, "Watch"), number(6, 1), method.to_vec()].concat();
    let service = [field(1, "S"), field(2, method), service.to_vec()].concat();
    let file = [field(2, "p.v1"), field(6, service), file.to_vec()].concat();
    [set.to_vec(), field(1, file)].concat()
}

fn register(set: &[u8]) -> Result<String, Error> {
    let exposition = Exposition::default();
    let builder = ServerMetrics::builder().descriptor_set(set);
    builder.register(&exposition)?;
    Ok(page(&exposition))
}

#[test]
fn what_no_metric_needs_may_be_missing_unknown_or_invalid() {
    const INVALID: [u8; 4] = [0xff; 4];
    let options = |number| field(number, INVALID);
    for (what, set) in [
        ("nothing else", with(&[], &[], &[], &[])),
        (
            "a missing import",
            with(&[], &field(3, "no/such.proto"), &[], &[]),
        ),
        (
            "imports in Latin-1",
            with(&[], &field(3, b"caf\xe9.proto"), &[], &[]),
        ),
        (
            "a name in Latin-1",
            with(&[], &field(1, b"caf\xe9.proto"), &[], &[]),
        ),
        (
            "numbers for texts",
            with(&[], &[number(1, 7), number(12, 7)].concat(), &[], &[]),
        ),
        ("invalid messages", with(&[], &field(4, INVALID), &[], &[])),
        ("invalid enums", with(&[], &field(5, INVALID), &[], &[])),
        (
            "invalid extensions",
            with(&[], &field(7, INVALID), &[], &[]),
        ),
        (
            "invalid options",
            with(&[], &options(8), &options(3), &options(4)),
        ),
        (
            "invalid source information",
            with(&[], &field(9, INVALID), &[], &[]),
        ),
        (
            "an edition",
            with(
                &[],
                &[field(12, "editions"), number(14, 1001)].concat(),
                &[],
                &[],
            ),
        ),
        (
            "an unknown edition",
            with(&[], &number(14, 99_999), &[], &[]),
        ),
        (
            "custom options",
            with(
                &[],
                &field(8, field(50_000, "x")),
                &field(3, group(50_001)),
                &field(4, number(50_002, 1)),
            ),
        ),
        (
            "groups",
            with(&group(90), &group(91), &group(92), &group(93)),
        ),
        (
            "buf's extension of a file",
            with(&[], &field(8042, INVALID), &[], &[]),
        ),
        (
            "unknown fields",
            with(
                &field(99, INVALID),
                &number(98, 1),
                &number(97, 1),
                &options(96),
            ),
        ),
        (
            "types of messages",
            with(&[], &[], &[], &[field(2, [0xff]), number(3, 1)].concat()),
        ),
        (
            "another file",
            with(&field(1, field(4, INVALID)), &[], &[], &[]),
        ),
    ] {
        let page = register(&set).unwrap_or_else(|error| panic!("{what}: {error}"));
        let series = "grpc_server_started_total{grpc_method=\"Watch\",grpc_service=\"p.v1.S\",\
            grpc_type=\"server_stream\"} 0\n";
        assert!(page.contains(series), "{what}: {page}");
    }
}

#[test]
fn an_error_says_why_a_set_cannot_be_read() {
    let method = |content: &[u8]| {
        let service = [field(1, "S"), field(2, content)].concat();
        field(1, [field(2, "p"), field(6, service)].concat())
    };
    let good = with(&[], &[], &[], &[]);
    let zipped = [&[0x1f, 0x8b, 8, 0], good.as_slice()].concat();
    for (set, cause) in [
        (good[..good.len() - 1].to_vec(), "buffer underflow"),
        (
            method(&field(1, b"caf\xe9")),
            "MethodDescriptorProto.name: ",
        ),
        (
            method(&field(5, "yes")),
            "MethodDescriptorProto.client_streaming: ",
        ),
        (field(1, number(6, 1)), "FileDescriptorProto.service: "),
        (number(1, 1), "FileDescriptorSet.file: "),
        (zipped, "it is compressed with gzip: decompress it first"),
        (
            b"{\"file\": []}\n".to_vec(),
            "it is text, not the binary output of",
        ),
        (
            b"syntax = \"proto3\";\n".to_vec(),
            "it is text, not the binary output of",
        ),
    ] {
        let error = register(&set).unwrap_err();
        let said = error.to_string();
        assert!(matches!(error, Error::DescriptorSet(_)), "{error:?}");
        let expected = said.starts_with("cannot decode the descriptor set: ");
        assert!(expected && said.contains(cause), "{cause}: {said}");
    }
    let error = register(&good[1..]).unwrap_err();
    let decode = matches!(error, Error::DescriptorSet(DescriptorSetError::Decode(_)));
    assert!(decode, "{error:?}");
}

fn streaming(client: bool, server: bool) -> Vec<u8> {
    descriptor_set("t.v1", &[("Echo", &[("Unary", client, server)])])
}

#[test]
fn a_method_of_two_types_is_an_error_and_leaves_no_trace() {
    let exposition = Exposition::default();
    let error = ServerMetrics::builder()
        .descriptor_set(&echo_descriptor_set())
        .descriptor_set(&streaming(true, false))
        .register(&exposition)
        .unwrap_err();
    let said = error.to_string();
    let expected = "method Unary of service t.v1.Echo is declared as unary and as client_stream: \
        give one descriptor set for it";
    assert_eq!(said, expected);
    let Error::MethodType {
        service,
        method,
        first,
        second,
    } = error
    else {
        panic!("{error:?}");
    };
    let fields = (service.as_str(), method.as_str(), first, second);
    assert_eq!(fields, ("t.v1.Echo", "Unary", "unary", "client_stream"));
    assert_eq!(page(&exposition), "");
    // Other options conflict with nothing.
    ServerMetrics::builder()
        .descriptor_set(&streaming(true, false))
        .label_style(LabelStyle::Python)
        .register(&exposition)
        .unwrap();
}

#[test]
fn registrations_that_share_series_agree_on_the_type_of_each_method() {
    let exposition = Exposition::default();
    let first = ServerMetrics::builder().descriptor_set(&echo_descriptor_set());
    first.register(&exposition).unwrap();
    let before = page(&exposition);
    let new = descriptor_set("t.v1", &[("Other", &[("Do", false, false)])]);
    let error = ServerMetrics::builder()
        .descriptor_set(&new)
        .descriptor_set(&streaming(true, true))
        .register(&exposition)
        .unwrap_err();
    assert!(matches!(error, Error::MethodType { .. }), "{error:?}");
    assert_eq!(page(&exposition), before);
    // The same declaration again, another side, and other names are no conflict.
    for builder in [
        ServerMetrics::builder().descriptor_set(&streaming(false, false)),
        ServerMetrics::builder()
            .descriptor_set(&streaming(true, true))
            .namespace("other"),
    ] {
        builder.register(&exposition).unwrap();
    }
    let client = ClientMetrics::builder().descriptor_set(&streaming(true, true));
    client.register(&exposition).unwrap();
}

#[test]
fn a_method_that_is_not_counted_has_no_type_to_conflict() {
    let set = |client| descriptor_set("grpc.health.v1", &[("Health", &[("Check", client, false)])]);
    for filtered in [false, true] {
        let builder = ServerMetrics::builder()
            .descriptor_set(&set(false))
            .descriptor_set(&set(true));
        let builder = match filtered {
            true => builder.filter(|_, method| method != "Check"),
            false => builder.exclude_health_and_reflection(true),
        };
        builder.register(&Exposition::default()).unwrap();
    }
}
