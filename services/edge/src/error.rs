//! Every error of the REST side: one table gRPC code → HTTP status, one problem document (RFC 9457).

use axum::Json;
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use tonic::{Code, Status};

use crate::name::InvalidName;

const MAX_DETAIL_CHARS: usize = 256;
const PROBLEM_JSON: HeaderValue = HeaderValue::from_static("application/problem+json");
const ONE_SECOND: HeaderValue = HeaderValue::from_static("1");

#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(transparent)]
    Name(#[from] InvalidName),
    #[error("nothing is here; try /proxy/Ana or /heartbeats")]
    UnknownPath,
    #[error("this path does not have this method; see the allow header")]
    WrongMethod,
    #[error("{}", readable(status.message()))]
    Upstream {
        upstream: &'static str,
        status: Box<Status>,
    },
}

#[derive(Debug, Serialize)]
struct Problem {
    r#type: &'static str,
    title: &'static str,
    status: u16,
    detail: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    grpc_code: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    upstream: Option<&'static str>,
}

// === impl Error ===

impl Error {
    pub(crate) fn upstream(upstream: &'static str, status: Status) -> Self {
        let status = Box::new(status);
        Self::Upstream { upstream, status }
    }

    fn http_status(&self) -> u16 {
        match self {
            Self::Name(_) => 400,
            Self::UnknownPath => 404,
            Self::WrongMethod => 405,
            Self::Upstream { status, .. } => translated(status.code()).0,
        }
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let status =
            StatusCode::from_u16(self.http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, Json(Problem::new(&self, status))).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, PROBLEM_JSON);
        if matches!(status.as_u16(), 429 | 503 | 504) {
            headers.insert(RETRY_AFTER, ONE_SECOND);
        }
        response
    }
}

// === impl Problem ===

impl Problem {
    fn new(error: &Error, status: StatusCode) -> Self {
        let (grpc_code, upstream) = match error {
            Error::Upstream { upstream, status } => {
                (Some(translated(status.code()).1), Some(*upstream))
            }
            _ => (None, None),
        };
        Self {
            r#type: "about:blank",
            title: status.canonical_reason().unwrap_or("Client Closed Request"),
            status: status.as_u16(),
            detail: error.to_string(),
            grpc_code,
            upstream,
        }
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

/// An upstream's text without what could steer a terminal or a reader's eye.
fn readable(text: &str) -> String {
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
    }

    #[test]
    fn only_answers_worth_a_retry_name_a_time() {
        for code in 0..=16 {
            let code = Code::from_i32(code);
            let response = Error::upstream("time", Status::new(code, "")).into_response();
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
    fn an_upstreams_text_loses_what_steers_and_what_is_too_long() {
        assert_eq!(readable("a\r\n\u{1b}[31mb\u{0}\u{85}"), "a[31mb");
        assert_eq!(readable("\u{202e}gpj\u{2066}\u{200b}\u{feff}."), "gpj.");
        assert_eq!(readable("Ana é 👍🏽"), "Ana é 👍🏽");
        assert_eq!(readable(&"é".repeat(1000)), "é".repeat(256));
    }
}
