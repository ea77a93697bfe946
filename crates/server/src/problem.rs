//! Problem documents (RFC 9457), the error responses of every REST API.

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, StatusCode};
use serde::Serialize;
use tonic::Status;
use vitalmesh_status::{code_name, http_status};

const MAX_DETAIL_CHARS: usize = 256;
const PROBLEM_JSON: HeaderValue = HeaderValue::from_static("application/problem+json");
const ONE_SECOND: HeaderValue = HeaderValue::from_static("1");

/// The error response to a REST request, as in RFC 9457.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Problem {
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    r#type: &'static str,
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    title: &'static str,
    /// The HTTP status.
    status: u16,
    /// What is wrong and what to do.
    detail: String,
    /// The gRPC code of the failed call behind the request, if there was one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    grpc_code: Option<&'static str>,
    /// The service that was called.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    upstream: Option<&'static str>,
}

/// Why a request failed, for its log line; an extension of the response.
#[derive(Clone, Debug)]
pub(crate) struct Reason(pub(crate) String);

// === impl Problem ===

impl Problem {
    /// A problem of this service. `detail` says what is wrong and what to do.
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

    /// The failed call of an upstream service. The code maps to an HTTP status by
    /// [`http_status`]; the message passes through [`readable`].
    pub fn upstream(upstream: &'static str, status: &Status) -> Self {
        let http = StatusCode::from_u16(http_status(status.code()))
            .unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        Self {
            grpc_code: Some(code_name(status.code())),
            upstream: Some(upstream),
            ..Self::new(http, readable(status.message()))
        }
    }

    /// The detail, with the upstream and its code in front.
    fn reason(&self) -> String {
        let parts = [self.upstream, self.grpc_code, Some(&*self.detail)];
        let parts = parts.into_iter().flatten().filter(|part| !part.is_empty());
        parts.collect::<Vec<_>>().join(": ")
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let reason = Reason(self.reason());
        let mut response = (status, Json(self)).into_response();
        response.extensions_mut().insert(reason);
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, PROBLEM_JSON);
        if matches!(status.as_u16(), 429 | 503 | 504) {
            headers.insert(RETRY_AFTER, ONE_SECOND);
        }
        response
    }
}

/// Untrusted text without control and bidirectional characters, truncated to 256 characters.
pub fn readable(text: &str) -> String {
    let is_control = |char: &char| {
        char.is_control()
            || matches!(char, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}' | '\u{feff}')
    };
    text.chars()
        .filter(|char| !is_control(char))
        .take(MAX_DETAIL_CHARS)
        .collect()
}

#[cfg(test)]
mod tests {
    use tonic::Code;

    use super::*;

    #[test]
    fn only_retryable_statuses_have_retry_after() {
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
    fn untrusted_text_loses_control_characters_and_is_truncated() {
        assert_eq!(readable("a\r\n\u{1b}[31mb\u{0}\u{85}"), "a[31mb");
        assert_eq!(readable("\u{202e}gpj\u{2066}\u{200b}\u{feff}."), "gpj.");
        assert_eq!(readable("Ana é 👍🏽"), "Ana é 👍🏽");
        assert_eq!(readable(&"é".repeat(1000)), "é".repeat(256));
    }
}
