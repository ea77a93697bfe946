//! Faults on demand: names that make a call fail or panic.

use tonic::{Code, Status};

const STATUSES: [(&str, Code); 17] = [
    ("CANCELLED", Code::Cancelled),
    ("CANCELED", Code::Cancelled),
    ("UNKNOWN", Code::Unknown),
    ("INVALID_ARGUMENT", Code::InvalidArgument),
    ("DEADLINE_EXCEEDED", Code::DeadlineExceeded),
    ("NOT_FOUND", Code::NotFound),
    ("ALREADY_EXISTS", Code::AlreadyExists),
    ("PERMISSION_DENIED", Code::PermissionDenied),
    ("RESOURCE_EXHAUSTED", Code::ResourceExhausted),
    ("FAILED_PRECONDITION", Code::FailedPrecondition),
    ("ABORTED", Code::Aborted),
    ("OUT_OF_RANGE", Code::OutOfRange),
    ("UNIMPLEMENTED", Code::Unimplemented),
    ("INTERNAL", Code::Internal),
    ("UNAVAILABLE", Code::Unavailable),
    ("DATA_LOSS", Code::DataLoss),
    ("UNAUTHENTICATED", Code::Unauthenticated),
];

const PANICS: [&str; 2] = ["exception", "key_error"];

/// Fails with the status that `name` spells, in any case, with or without underscores.
///
/// # Panics
///
/// On purpose, when `name` is `exception` or `key_error`.
pub(crate) fn on_demand(name: &str) -> Result<(), Status> {
    if let Some(panic) = PANICS.iter().find(|panic| panic.eq_ignore_ascii_case(name)) {
        panic!("fault on demand: the name requests {panic}");
    }
    match STATUSES.iter().find(|(spelling, _)| spells(name, spelling)) {
        Some((spelling, code)) => Err(Status::new(
            *code,
            format!("fault on demand: the name requests {spelling}"),
        )),
        None => Ok(()),
    }
}

fn spells(name: &str, spelling: &str) -> bool {
    let joined = || spelling.bytes().filter(|byte| *byte != b'_');
    name.eq_ignore_ascii_case(spelling)
        || (name.len() == joined().count()
            && name
                .bytes()
                .zip(joined())
                .all(|(byte, expected)| byte.eq_ignore_ascii_case(&expected)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every non-OK code by number, as gRPC spells it and as Go and tonic spell it.
    const SPELLINGS: [(i32, &str, &str); 16] = [
        (1, "CANCELLED", "Canceled"),
        (2, "UNKNOWN", "Unknown"),
        (3, "INVALID_ARGUMENT", "InvalidArgument"),
        (4, "DEADLINE_EXCEEDED", "DeadlineExceeded"),
        (5, "NOT_FOUND", "NotFound"),
        (6, "ALREADY_EXISTS", "AlreadyExists"),
        (7, "PERMISSION_DENIED", "PermissionDenied"),
        (8, "RESOURCE_EXHAUSTED", "ResourceExhausted"),
        (9, "FAILED_PRECONDITION", "FailedPrecondition"),
        (10, "ABORTED", "Aborted"),
        (11, "OUT_OF_RANGE", "OutOfRange"),
        (12, "UNIMPLEMENTED", "Unimplemented"),
        (13, "INTERNAL", "Internal"),
        (14, "UNAVAILABLE", "Unavailable"),
        (15, "DATA_LOSS", "DataLoss"),
        (16, "UNAUTHENTICATED", "Unauthenticated"),
    ];

    #[test]
    fn every_spelling_of_a_code_fails_with_it() {
        for (number, screaming, camel) in SPELLINGS {
            for name in [
                screaming.to_owned(),
                screaming.to_lowercase(),
                capitalised(screaming),
                camel.to_owned(),
                camel.to_lowercase(),
            ] {
                let status = on_demand(&name).unwrap_err();
                assert_eq!(status.code() as i32, number, "{name}");
                assert!(status.message().contains("fault on demand"), "{name}");
            }
        }
        assert_eq!(on_demand("Cancelled").unwrap_err().code(), Code::Cancelled);
    }

    #[test]
    fn the_message_has_the_code_and_not_the_name() {
        let status = on_demand("nOt_FoUnD").unwrap_err();
        assert_eq!(
            status.message(),
            "fault on demand: the name requests NOT_FOUND"
        );
    }

    #[test]
    fn other_names_do_not_fail() {
        for name in [
            "",
            "Ana",
            "OK",
            "ok",
            "NOT FOUND",
            "not-found",
            "n_ot_found",
            "not_found ",
            "ＮOT_FOUND",
            "exceptional",
            "key error",
        ] {
            assert!(on_demand(name).is_ok(), "{name}");
        }
    }

    #[test]
    #[should_panic(expected = "the name requests exception")]
    fn exception_panics() {
        let _ = on_demand("Exception");
    }

    #[test]
    #[should_panic(expected = "the name requests key_error")]
    fn key_error_panics() {
        let _ = on_demand("KEY_ERROR");
    }

    /// `NOT_FOUND` → `Not_Found`.
    fn capitalised(screaming: &str) -> String {
        screaming
            .split('_')
            .map(|word| word[..1].to_owned() + &word[1..].to_lowercase())
            .collect::<Vec<_>>()
            .join("_")
    }
}
