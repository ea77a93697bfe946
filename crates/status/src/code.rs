//! gRPC codes: their label, their HTTP status, and whether they are a fault.

use tonic::Code;

/// Every HTTP status that [`http_status`] returns for an error code, in rising order.
pub const UPSTREAM_STATUSES: [u16; 11] = [400, 401, 403, 404, 409, 429, 499, 500, 501, 503, 504];

/// Name and HTTP status of each code, in the order of the codes' numbers.
const CODES: [(&str, u16); 17] = [
    // An error with the code OK is a broken peer.
    ("OK", 500),
    ("Canceled", 499),
    ("Unknown", 500),
    ("InvalidArgument", 400),
    ("DeadlineExceeded", 504),
    ("NotFound", 404),
    ("AlreadyExists", 409),
    ("PermissionDenied", 403),
    ("ResourceExhausted", 429),
    ("FailedPrecondition", 400),
    ("Aborted", 409),
    ("OutOfRange", 400),
    ("Unimplemented", 501),
    ("Internal", 500),
    ("Unavailable", 503),
    ("DataLoss", 500),
    ("Unauthenticated", 401),
];

/// The code's name, spelled as in the metrics' label `grpc_code`: `Canceled`, `NotFound`.
pub const fn code_name(code: Code) -> &'static str {
    CODES[code as usize].0
}

/// The HTTP status of a failed call, as `google/rpc/code.proto` documents it. OK, which no failed
/// call has, is 500.
pub const fn http_status(code: Code) -> u16 {
    CODES[code as usize].1
}

/// Whether the code is the server's fault and not the caller's. `docs/METRICS.md` lists the codes.
pub const fn is_fault(code: Code) -> bool {
    matches!(
        code,
        Code::Unknown
            | Code::DeadlineExceeded
            | Code::Unimplemented
            | Code::Internal
            | Code::Unavailable
            | Code::DataLoss
            | Code::ResourceExhausted
    )
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_code_has_the_status_that_google_rpc_documents() {
        let documented = [
            (1, 499),
            (2, 500),
            (3, 400),
            (4, 504),
            (5, 404),
            (6, 409),
            (7, 403),
            (8, 429),
            (9, 400),
            (10, 409),
            (11, 400),
            (12, 501),
            (13, 500),
            (14, 503),
            (15, 500),
            (16, 401),
        ];
        for (code, http) in documented {
            assert_eq!(http_status(Code::from_i32(code)), http, "code {code}");
        }
        let statuses: BTreeSet<_> = documented.map(|(_, http)| http).into();
        assert_eq!(BTreeSet::from(UPSTREAM_STATUSES), statuses);
    }

    #[test]
    fn a_code_is_named_as_tonic_names_it_except_ok_and_canceled() {
        for number in 0..17 {
            let code = Code::from_i32(number);
            let expected = match code {
                Code::Ok => "OK".to_owned(),
                Code::Cancelled => "Canceled".to_owned(),
                code => format!("{code:?}"),
            };
            assert_eq!(code_name(code), expected);
        }
    }

    #[test]
    fn the_faults_are_the_codes_that_blame_the_server() {
        let faults = (0..17)
            .map(Code::from_i32)
            .filter(|code| is_fault(*code))
            .map(code_name);
        let expected = [
            "Unknown",
            "DeadlineExceeded",
            "ResourceExhausted",
            "Unimplemented",
            "Internal",
            "Unavailable",
            "DataLoss",
        ];
        assert_eq!(faults.collect::<Vec<_>>(), expected);
    }
}
