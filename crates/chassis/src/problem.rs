//! Problem documents (RFC 9457): how every REST side of the mesh says what went wrong.

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, StatusCode};
use serde::Serialize;
use tonic::{Code, Status};

/// Every status that a failed call of another service becomes.
pub(crate) const UPSTREAM_STATUSES: [u16; 11] =
    [400, 401, 403, 404, 409, 429, 499, 500, 501, 503, 504];

const MAX_DETAIL_CHARS: usize = 256;
const PROBLEM_JSON: HeaderValue = HeaderValue::from_static("application/problem+json");
const ONE_SECOND: HeaderValue = HeaderValue::from_static("1");

/// The answer to a REST request that failed.
#[derive(Debug, Serialize)]
pub struct Problem {
    r#type: &'static str,
    title: &'static str,
    status: u16,
    detail: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    grpc_code: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    upstream: Option<&'static str>,
}

// === impl Problem ===

impl Problem {
    /// A problem of this service's own. `detail` says what was wrong and what to do.
    pub fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self {
            r#type: "about:blank",
            title: status.canonical_reason().unwrap_or("Client Closed Request"),
            status: status.as_u16(),
            detail: detail.into(),
            grpc_code: None,
            upstream: None,
        }
    }

    /// The failed call of another service, by the one table of codes, with its text made safe to
    /// read.
    pub fn upstream(upstream: &'static str, status: &Status) -> Self {
        let (http, grpc_code) = translated(status.code());
        let http = StatusCode::from_u16(http).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        Self {
            grpc_code: Some(grpc_code),
            upstream: Some(upstream),
            ..Self::new(http, readable(status.message()))
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, Json(self)).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, PROBLEM_JSON);
        if matches!(status.as_u16(), 429 | 503 | 504) {
            headers.insert(RETRY_AFTER, ONE_SECOND);
        }
        response
    }
}

/// The HTTP mapping that google/rpc/code.proto documents, with the names that the metrics' label
/// `grpc_code` uses. An error that says OK is a broken upstream.
const fn translated(code: Code) -> (u16, &'static str) {
    match code {
        Code::Ok => (500, "OK"),
        Code::Cancelled => (499, "Canceled"),
        Code::Unknown => (500, "Unknown"),
        Code::InvalidArgument => (400, "InvalidArgument"),
        Code::DeadlineExceeded => (504, "DeadlineExceeded"),
        Code::NotFound => (404, "NotFound"),
        Code::AlreadyExists => (409, "AlreadyExists"),
        Code::PermissionDenied => (403, "PermissionDenied"),
        Code::ResourceExhausted => (429, "ResourceExhausted"),
        Code::FailedPrecondition => (400, "FailedPrecondition"),
        Code::Aborted => (409, "Aborted"),
        Code::OutOfRange => (400, "OutOfRange"),
        Code::Unimplemented => (501, "Unimplemented"),
        Code::Internal => (500, "Internal"),
        Code::Unavailable => (503, "Unavailable"),
        Code::DataLoss => (500, "DataLoss"),
        Code::Unauthenticated => (401, "Unauthenticated"),
    }
}

/// Text from elsewhere without what could steer a terminal or a reader's eye, and not too long.
pub fn readable(text: &str) -> String {
    let is_steering = |char: &char| {
        char.is_control()
            || matches!(char, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}' | '\u{feff}')
    };
    text.chars()
        .filter(|char| !is_steering(char))
        .take(MAX_DETAIL_CHARS)
        .collect()
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
            assert_eq!(translated(Code::from_i32(code)).0, http, "code {code}");
        }
        let statuses: BTreeSet<_> = documented.map(|(_, http)| http).into();
        assert_eq!(BTreeSet::from(UPSTREAM_STATUSES), statuses);
    }

    #[test]
    fn only_answers_worth_a_retry_name_a_time() {
        for code in 0..=16 {
            let code = Code::from_i32(code);
            let response = Problem::upstream("time", &Status::new(code, "")).into_response();
            let retried = matches!(
                code,
                Code::ResourceExhausted | Code::Unavailable | Code::DeadlineExceeded
            );
            let expected = retried.then_some("1".as_bytes());
            let retry_after = response.headers().get(RETRY_AFTER);
            assert_eq!(retry_after.map(HeaderValue::as_bytes), expected, "{code:?}");
        }
    }

    #[test]
    fn text_from_elsewhere_loses_what_steers_and_what_is_too_long() {
        assert_eq!(readable("a\r\n\u{1b}[31mb\u{0}\u{85}"), "a[31mb");
        assert_eq!(readable("\u{202e}gpj\u{2066}\u{200b}\u{feff}."), "gpj.");
        assert_eq!(readable("Ana é 👍🏽"), "Ana é 👍🏽");
        assert_eq!(readable(&"é".repeat(1000)), "é".repeat(256));
    }
}
