use prost::Message as _;
use prost_types::field_descriptor_proto::Type;

use super::*;
use crate::legacy::descriptor::{
    FeatureSet, FieldOptions, FieldType, File, FileOptions, FileSet, MessageOptions, MessageType,
    feature,
};

/// The descriptor set of a proto, whose method is `S/M`.
fn compiled(proto: &str) -> Contracts {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("a.proto"), proto).unwrap();
    let mut compiler = protox::Compiler::new([folder.path()]).unwrap();
    compiler.include_imports(true).open_file("a.proto").unwrap();
    let set = compiler.file_descriptor_set();
    Contracts::read(&[&set.encode_to_vec()]).unwrap()
}

/// A contract with this message as request and response.
fn contract(body: &str) -> Contracts {
    let (syntax, body) = match body.split_once('|') {
        Some((syntax, body)) => (syntax, body),
        None => ("proto3", body),
    };
    compiled(&format!(
        "syntax = \"{syntax}\"; service S {{ rpc M(T) returns (T); }} {body}"
    ))
}

fn whole(old: &Contracts, new: &Contracts) -> Result<(), Mismatch> {
    let (old_method, new_method) = (old.method("S/M").unwrap(), new.method("S/M").unwrap());
    compare(old, ("S", old_method), new, ("S", new_method))
}

/// The verdict on `T` as a request and as a response.
fn verdicts(old: &str, new: &str) -> [String; 2] {
    let (old, new) = (contract(old), contract(new));
    let text = |verdict: Result<(), Mismatch>| match verdict {
        Ok(()) => "ok".to_owned(),
        Err(mismatch) => mismatch.to_string(),
    };
    let request = Comparison::new(Direction::Request, &old, &new).types("T", "T");
    let response = Comparison::new(Direction::Response, &new, &old).types("T", "T");
    [text(request), text(response)]
}

#[track_caller]
fn assert_verdicts(old: &str, new: &str, expected: [&str; 2]) {
    assert_eq!(verdicts(old, new), expected, "{old} -> {new}");
}

const OK: [&str; 2] = ["ok", "ok"];

#[test]
fn fields_may_be_renamed_packed_or_unpacked() {
    assert_verdicts(
        "message T { int32 a = 1; }",
        "message T { int32 b = 1; }",
        OK,
    );
    let packed = "proto2|message T { repeated int32 a = 1 [packed = true]; }";
    let unpacked = "proto2|message T { repeated int32 a = 1; }";
    assert_verdicts(packed, unpacked, OK);
    assert_verdicts(unpacked, packed, OK);
    assert_verdicts("message T { repeated int32 a = 1; }", unpacked, OK);
}

#[test]
fn another_type_label_or_encoding_is_incompatible() {
    let differs = "field a = 1 has another type or label in T";
    for (old, new) in [
        ("message T { int32 a = 1; }", "message T { sint32 a = 1; }"),
        ("message T { int32 a = 1; }", "message T { int64 a = 1; }"),
        ("message T { string a = 1; }", "message T { bytes a = 1; }"),
        (
            "message T { int32 a = 1; }",
            "message T { repeated int32 a = 1; }",
        ),
        ("message T { T a = 1; }", "message T { bytes a = 1; }"),
        (
            "message T { E a = 1; } enum E { X = 0; }",
            "message T { int32 a = 1; }",
        ),
        (
            "message T { map<int32, int32> a = 1; }",
            "message T { repeated N a = 1; message N { int32 key = 1; int32 value = 2; } }",
        ),
    ] {
        assert_verdicts(old, new, [differs; 2]);
        assert_verdicts(new, old, [differs; 2]);
    }
    let group = "proto2|message T { optional group A = 1 {} }";
    let message = "proto2|message T { optional A a = 1; message A {} }";
    assert_verdicts(group, message, [differs; 2]);
}

#[test]
fn a_missing_field_is_accepted_only_if_a_request_reserves_it() {
    let old = "message T { int32 a = 7; }";
    let missing = "field a = 7 is not in T; a request's may be reserved there to be ignored";
    assert_verdicts(old, "message T {}", [missing; 2]);
    assert_verdicts(old, "message T { reserved 6, 8 to max; }", [missing; 2]);
    assert_verdicts(old, "message T { reserved 6 to 8; }", ["ok", missing]);
}

#[test]
fn a_field_that_only_the_new_message_has_is_accepted_unless_a_request_requires_it() {
    assert_verdicts(
        "message T {}",
        "message T { int32 a = 1; repeated T b = 2; }",
        OK,
    );
    let required = "field a = 1 is required in T, and may be absent in what it reads";
    let new = "proto2|message T { required int32 a = 1; }";
    assert_verdicts("message T {}", new, [required, "ok"]);
}

#[test]
fn an_old_default_that_the_new_contract_does_not_have_is_incompatible() {
    let old = "proto2|message T { optional int32 left = 2 [default = 5]; }";
    let new = "message T { int32 left = 2; }";
    assert_verdicts(
        old,
        new,
        [
            "field left = 2, if absent, is 5 in T and read as 0 in T",
            "field left = 2, if absent, is 0 in T and read as 5 in T",
        ],
    );
    assert_verdicts(old, old, OK);
}

#[test]
fn defaults_are_compared_by_value() {
    for (kind, spelled, zero) in [
        ("string", "\"\"", true),
        ("string", "\"x\"", false),
        ("bytes", "\"\"", true),
        ("bool", "false", true),
        ("bool", "true", false),
        ("double", "0.0", true),
        ("float", "0.5", false),
        ("sint64", "0", true),
        ("sint64", "-1", false),
        ("E", "X", true),
        ("E", "Y", false),
    ] {
        let declared = "enum E { X = 0; Y = 1; }";
        let old = format!(
            "proto2|message T {{ optional {kind} a = 1 [default = {spelled}]; }} {declared}"
        );
        let new = format!("proto2|message T {{ optional {kind} a = 1; }} {declared}");
        let equal = verdicts(&old, &new).map(|verdict| verdict == "ok");
        assert_eq!(equal, [zero; 2], "{kind} {spelled}");
    }
    // The default of an enum is its first value.
    let first =
        |first: &str| format!("proto2|message T {{ optional E a = 1; }} enum E {{ {first} }}");
    let [request, response] = verdicts(&first("X = 1; Y = 2;"), &first("Y = 2; X = 1;"));
    assert_eq!(
        request,
        "field a = 1, if absent, is 1 in T and read as 2 in T"
    );
    assert_eq!(
        response,
        "field a = 1, if absent, is 2 in T and read as 1 in T"
    );
}

#[test]
fn a_closed_enum_must_have_every_value_that_its_reader_may_get() {
    let closed =
        |values: &str| format!("proto2|message T {{ repeated E a = 1; }} enum E {{ {values} }}");
    let open = |values: &str| format!("message T {{ repeated E a = 1; }} enum E {{ {values} }}");
    let (one, two) = ("X = 0;", "X = 0; Y = 1;");
    let dropped = "field a = 1 can be Y = 1, which the closed enum E does not have";
    assert_verdicts(&closed(one), &closed(two), ["ok", dropped]);
    assert_verdicts(&closed(two), &closed(one), [dropped, "ok"]);
    assert_verdicts(&closed(one), &open(two), ["ok", dropped]);
    assert_verdicts(&open(two), &closed(one), [dropped, "ok"]);
    assert_verdicts(&open(one), &open(two), OK);
    assert_verdicts(&open(two), &open(one), OK);
    assert_verdicts(&closed(one), &closed("Z = 0;"), OK);
}

#[test]
fn a_oneof_has_the_same_fields_on_both_sides() {
    let differs = "field a = 1 is not in the same oneof in T";
    let apart = "message T { int32 a = 1; int32 b = 2; }";
    let optional = "message T { optional int32 a = 1; optional int32 b = 2; }";
    let together = "message T { oneof o { int32 a = 1; int32 b = 2; } }";
    let alone = "message T { oneof o { int32 a = 1; } optional int32 b = 2; }";
    let two = "message T { oneof o { int32 a = 1; } oneof p { int32 b = 2; } }";
    for other in [apart, optional, alone, two] {
        let [request, response] = verdicts(other, together);
        assert!(
            [request, response].iter().all(|verdict| verdict != "ok"),
            "{other}"
        );
    }
    assert_verdicts(apart, together, [differs; 2]);
    assert_verdicts(two, together, [differs; 2]);
    assert_verdicts(together, together, OK);
    // A oneof of one field is a field with presence.
    let one = "message T { oneof o { int32 a = 1; } }";
    assert_verdicts("message T { optional int32 a = 1; }", one, OK);
    assert_verdicts(one, "message T { optional int32 a = 1; }", OK);
    assert_verdicts("message T { optional int32 a = 1; }", together, OK);
    // A new alternative is only ever sent by the new side.
    let more = "message T { oneof o { int32 a = 1; int32 b = 2; int32 c = 3; } }";
    assert_verdicts(together, more, OK);
}

#[test]
fn messages_are_compared_through_every_field_and_recursion_ends() {
    let list = |item: &str| {
        format!(
            "message T {{ Item first = 1; map<string, Item> by_name = 2;
               message Item {{ T again = 1; repeated Item more = 2; {item} v = 3; }} }}"
        )
    };
    assert_verdicts(&list("int32"), &list("int32"), OK);
    let differs = "field v = 3 has another type or label in T.Item";
    assert_verdicts(&list("int32"), &list("string"), [differs; 2]);
}

#[test]
fn nested_messages_are_found_as_types_of_methods() {
    let nested = |body: &str| {
        compiled(&format!(
            "syntax = \"proto3\"; service S {{ rpc M(O.P.Q) returns (O.P.Q); }}
             message O {{ message P {{ message Q {{ {body} }} }} }}"
        ))
    };
    let (old, new) = (nested("int32 a = 1;"), nested("int32 b = 1;"));
    assert_eq!(whole(&old, &new), Ok(()));
    let refused = whole(&old, &nested("")).unwrap_err().to_string();
    assert!(
        refused.starts_with("field a = 1 is not in O.P.Q"),
        "{refused}"
    );
}

#[test]
fn an_extension_is_a_field_of_the_message_that_it_extends() {
    let extended = |field: &str| {
        format!("proto2|message T {{ extensions 100 to 199; }} extend T {{ {field} }}")
    };
    let nested = "proto2|message T { extensions 100 to 199; }
                  message O { extend T { optional int32 a = 100; } }";
    let plain = "proto2|message T { optional int32 a = 100; }";
    let old = extended("optional int32 a = 100;");
    for new in [&old, nested, plain] {
        assert_verdicts(&old, new, OK);
        assert_verdicts(new, &old, OK);
    }
    let missing = "field a = 100 is not in T; a request's may be reserved there to be ignored";
    for old in [&old, nested] {
        assert_verdicts(old, "message T {}", [missing; 2]);
    }
    let differs = "field a = 100 has another type or label in T";
    assert_verdicts(&old, &extended("optional string a = 100;"), [differs; 2]);
    let default = extended("optional int32 a = 100 [default = 5];");
    let [request, response] = verdicts(&default, plain);
    assert_eq!(
        request,
        "field a = 100, if absent, is 5 in T and read as 0 in T"
    );
    assert_eq!(
        response,
        "field a = 100, if absent, is 0 in T and read as 5 in T"
    );
}

#[test]
fn a_required_field_of_a_nested_message_is_found_in_both_directions() {
    let nested = |label: &str| {
        format!("proto2|message T {{ map<int32, N> n = 1; }} message N {{ {label} int32 a = 1; }}")
    };
    let required = "field a = 1 is required in N, and may be absent in what it reads";
    assert_verdicts(&nested("required"), &nested("optional"), ["ok", required]);
    assert_verdicts(&nested("optional"), &nested("required"), [required, "ok"]);
}

fn field(number: i32, r#type: Type, type_name: &str) -> FieldType {
    FieldType {
        name: "a".to_owned(),
        number,
        label: 1,
        r#type: r#type.into(),
        type_name: type_name.to_owned(),
        ..FieldType::default()
    }
}

fn file(syntax: &str, package: &str, messages: &[(&str, FieldType)]) -> File {
    let message = |(name, field): &(&str, FieldType)| MessageType {
        name: (*name).to_owned(),
        field: vec![field.clone()],
        ..MessageType::default()
    };
    File {
        syntax: syntax.to_owned(),
        package: package.to_owned(),
        message_type: messages.iter().map(message).collect(),
        ..File::default()
    }
}

fn read(files: Vec<File>) -> Contracts {
    Contracts::read(&[&FileSet { file: files }.encode_to_vec()]).unwrap()
}

fn request(old: &Contracts, new: &Contracts, name: &str) -> Result<(), Mismatch> {
    Comparison::new(Direction::Request, old, new).types(name, name)
}

#[test]
fn a_set_without_imports_names_what_is_missing_unless_it_is_google_s() {
    let importing = |name: &str| {
        read(vec![file(
            "proto3",
            "p",
            &[("T", field(1, Type::Message, name))],
        )])
    };
    for (name, expected) in [
        (".google.protobuf.Timestamp", "ok"),
        (
            ".q.Other",
            "q.Other is not in the descriptor set; build it with imports (--include_imports)",
        ),
    ] {
        let contracts = importing(name);
        let verdict = request(&contracts, &contracts, "p.T");
        let verdict = verdict.map_or_else(|mismatch| mismatch.to_string(), |()| "ok".to_owned());
        assert_eq!(verdict, expected);
    }
    let untyped = |name: &str| {
        let mut field = field(1, Type::Message, name);
        field.r#type = 0;
        read(vec![file("proto3", "p", &[("T", field)])])
    };
    let typed = importing(".google.protobuf.Timestamp");
    let left_out = untyped(".google.protobuf.Timestamp");
    let response = Comparison::new(Direction::Response, &left_out, &typed).types("p.T", "p.T");
    assert_eq!(response, Ok(()));
    for (name, known) in [
        (".google.protobuf.Timestamp", true),
        (".q.Other", false),
        ("Other", false),
    ] {
        let verdict = request(&untyped(name), &untyped(name), "p.T");
        let is_unknown = matches!(verdict, Err(Mismatch::Unknown { .. }));
        assert_eq!((verdict.is_ok(), is_unknown), (known, !known), "{name}");
    }
    let refused = request(
        &importing(".google.protobuf.Duration"),
        &importing(".google.protobuf.Timestamp"),
        "p.T",
    );
    assert!(
        matches!(refused, Err(Mismatch::Unknown { .. })),
        "{refused:?}"
    );
}

#[test]
fn relative_names_of_types_are_resolved_from_the_inner_scope_outwards() {
    let with = |package: &str, name: &str| {
        let mut relative = field(1, Type::Message, name);
        // Parsers that resolve no names leave the type out as well.
        relative.r#type = 0;
        let mut file = file("proto3", package, &[("T", relative)]);
        file.message_type.push(MessageType {
            name: "Other".to_owned(),
            field: vec![field(1, Type::Int32, "")],
            ..MessageType::default()
        });
        read(vec![file])
    };
    let name = |contracts: &Contracts, spelled: &str| contracts.resolve("p.q.T", spelled);
    let contracts = with("p.q", "Other");
    for spelled in ["Other", "q.Other", "p.q.Other", ".p.q.Other"] {
        assert_eq!(name(&contracts, spelled), "p.q.Other", "{spelled}");
        let other = with("p.q", spelled);
        assert_eq!(request(&contracts, &other, "p.q.T"), Ok(()), "{spelled}");
    }
    assert_eq!(name(&contracts, "No.Such"), "No.Such");
}

/// A field's presence, and its default, which only explicit presence can have.
const FORMS: [(Presence, i32); 5] = [
    (Presence::Implicit, 0),
    (Presence::Explicit, 0),
    (Presence::Explicit, 5),
    (Presence::Required, 0),
    (Presence::Required, 5),
];

/// A field of this form in a file of an edition: by the file's features, or by the field's own.
fn edition(form: (Presence, i32), by_file: bool) -> Contracts {
    let (presence, default) = form;
    let presence = match presence {
        Presence::Implicit => feature::IMPLICIT,
        Presence::Explicit => feature::EXPLICIT,
        Presence::Required => feature::LEGACY_REQUIRED,
    };
    let features = Some(FeatureSet {
        field_presence: presence,
        ..FeatureSet::default()
    });
    let mut declared = field(1, Type::Int32, "");
    declared.default_value = (default != 0).then(|| default.to_string());
    declared.options = (!by_file).then_some(FieldOptions { features });
    let mut file = file("editions", "", &[("T", declared)]);
    file.options = by_file.then_some(FileOptions { features });
    read(vec![file])
}

/// The field as its user sees it: whether it is there, and its value.
type Seen = (bool, i32);

/// What a sender can mean, and whether it then writes the field.
fn sent(form: (Presence, i32)) -> Vec<(Seen, Option<i32>)> {
    let values = [0, 5, 7];
    match form {
        (Presence::Implicit, _) => values
            .map(|value| ((true, value), (value != 0).then_some(value)))
            .to_vec(),
        (Presence::Explicit, default) => {
            let mut states = values.map(|value| ((true, value), Some(value))).to_vec();
            states.push(((false, default), None));
            states
        }
        (Presence::Required, _) => values.map(|value| ((true, value), Some(value))).to_vec(),
    }
}

/// What a reader sees; `None` if it rejects the message.
fn seen(form: (Presence, i32), wire: Option<i32>) -> Option<Seen> {
    match (form, wire) {
        ((Presence::Required, _), None) => None,
        ((Presence::Implicit, _), wire) => Some((true, wire.unwrap_or(0))),
        ((_, default), wire) => Some((wire.is_some(), wire.unwrap_or(default))),
    }
}

/// Protobuf's rules, written a second time: every value is read as it was meant, and an old caller
/// that sees absence sees it only where it was meant.
#[test]
fn every_pair_of_presences_and_defaults_is_judged_as_protobuf_reads_it() {
    let mut accepted = 0;
    for sender in FORMS {
        for reader in FORMS {
            for direction in [Direction::Request, Direction::Response] {
                let faithful = sent(sender).into_iter().all(|(meant, wire)| {
                    let sees_absence = reader.0 == Presence::Explicit;
                    match seen(reader, wire) {
                        None => false,
                        Some((_, value)) if value != meant.1 => false,
                        Some((there, _)) if direction == Direction::Response && sees_absence => {
                            there == meant.0
                        }
                        Some(_) => true,
                    }
                });
                for by_file in [true, false] {
                    let (from, to) = (edition(sender, by_file), edition(reader, by_file));
                    let verdict = Comparison::new(direction, &from, &to).types("T", "T");
                    assert_eq!(
                        verdict.is_ok(),
                        faithful,
                        "{sender:?} to {reader:?} in a {direction:?}: {verdict:?}"
                    );
                }
                accepted += usize::from(faithful);
            }
        }
    }
    assert_eq!(accepted, 29);
}

#[test]
fn presence_of_proto2_and_proto3_is_that_of_their_labels() {
    for (body, presence) in [
        ("message T { int32 a = 1; }", Presence::Implicit),
        ("message T { optional int32 a = 1; }", Presence::Explicit),
        ("message T { oneof o { int32 a = 1; } }", Presence::Explicit),
        ("message T { T a = 1; }", Presence::Explicit),
        (
            "proto2|message T { optional int32 a = 1; }",
            Presence::Explicit,
        ),
        (
            "proto2|message T { required int32 a = 1; }",
            Presence::Required,
        ),
    ] {
        let contracts = contract(body);
        let message = contracts.message("T").unwrap();
        assert_eq!(message.field(1).unwrap().presence, presence, "{body}");
    }
    let zero = "field a = 1 has no presence in T: old callers read a 0 as absent";
    assert_verdicts(
        "proto2|message T { optional int32 a = 1; }",
        "message T { int32 a = 1; }",
        ["ok", zero],
    );
    assert_verdicts(
        "message T { int32 a = 1; }",
        "message T { optional int32 a = 1; }",
        OK,
    );
}

#[test]
fn editions_inherit_enum_and_encoding_features() {
    let of = |features: FeatureSet| {
        let mut file = file("editions", "", &[("T", field(1, Type::Message, ".T"))]);
        file.options = Some(FileOptions {
            features: Some(features),
        });
        read(vec![file])
    };
    let delimited = of(FeatureSet {
        message_encoding: feature::DELIMITED,
        ..FeatureSet::default()
    });
    let prefixed = of(FeatureSet::default());
    let refused = request(&delimited, &prefixed, "T");
    assert!(
        matches!(refused, Err(Mismatch::Differs { .. })),
        "{refused:?}"
    );
    assert_eq!(request(&delimited, &delimited, "T"), Ok(()));
    // protoc ignores the feature for the values of maps.
    let map = |features| {
        let entry = MessageType {
            name: "AEntry".to_owned(),
            field: vec![field(1, Type::Int32, ""), field(2, Type::Message, ".T")],
            options: Some(MessageOptions {
                map_entry: true,
                features: None,
            }),
            ..MessageType::default()
        };
        let mut map = field(1, Type::Message, ".T.AEntry");
        map.label = 3;
        let mut file = file("editions", "", &[("T", map)]);
        file.message_type[0].nested_type.push(entry);
        file.options = Some(FileOptions { features });
        read(vec![file])
    };
    let of_delimited = Some(FeatureSet {
        message_encoding: feature::DELIMITED,
        ..FeatureSet::default()
    });
    assert_eq!(request(&map(of_delimited), &map(None), "T"), Ok(()));
    let group = contract("proto2|message T { optional group G = 1 { optional T a = 2; } }");
    let kind = group.message("T").unwrap().field(1).unwrap().form.kind;
    assert_eq!(kind, Kind::Message { delimited: true });
}
