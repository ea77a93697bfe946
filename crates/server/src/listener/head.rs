//! Checks the head of an HTTP/1 request by RFC 9112, where hyper leaves it to its user.
//!
//! hyper refuses folded lines, bare CR, spaces before colons, and lengths that contradict each other.
//! A request with both Content-Length and Transfer-Encoding is read as chunked, and closes its
//! connection.

use std::net::Ipv6Addr;

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_TYPE, HOST, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Version};

/// Why a request is refused before a service sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    NoHost,
    ManyHosts,
    InvalidHost,
    InvalidTarget,
    ChunkedTwice,
    UnknownCoding,
    Tunnel,
}

// === impl Refusal ===

impl Refusal {
    pub(super) fn check<B>(request: &Request<B>) -> Result<(), Self> {
        check_target(request)?;
        check_host(request.version(), request.headers())?;
        check_codings(request.headers())
    }

    const fn reason(self) -> &'static str {
        match self {
            Self::NoHost => "the request has no Host",
            Self::ManyHosts => "the request has more than one Host",
            Self::InvalidHost => "the Host is not a host with an optional port",
            Self::InvalidTarget => "the target is neither a path nor an http URL",
            Self::ChunkedTwice => "the body is chunked more than once",
            Self::UnknownCoding => "no transfer coding but chunked is known here",
            Self::Tunnel => "CONNECT is not implemented",
        }
    }

    /// The response, after which the connection closes.
    pub(super) fn response(self) -> Response<Bytes> {
        let reason = format!("{}\n", self.reason());
        let mut response = Response::new(Bytes::from(reason));
        *response.status_mut() = match self {
            Self::UnknownCoding | Self::Tunnel => StatusCode::NOT_IMPLEMENTED,
            _ => StatusCode::BAD_REQUEST,
        };
        let headers = response.headers_mut();
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
        response
    }
}

/// RFC 9112, section 3.2.
fn check_target<B>(request: &Request<B>) -> Result<(), Refusal> {
    let target = request.uri();
    let is_http = target
        .scheme_str()
        .is_none_or(|scheme| matches!(scheme, "http" | "https"));
    let has_user = target
        .authority()
        .is_some_and(|authority| authority.as_str().contains('@'));
    let fits = match *request.method() {
        // Whatever follows is not a request.
        Method::CONNECT => return Err(Refusal::Tunnel),
        Method::OPTIONS if target.path() == "*" => target.authority().is_none(),
        _ => target.path().starts_with('/') && is_http && !has_user,
    };
    fits.then_some(()).ok_or(Refusal::InvalidTarget)
}

/// RFC 9112, section 3.2.
fn check_host(version: Version, headers: &HeaderMap) -> Result<(), Refusal> {
    let mut hosts = headers.get_all(HOST).iter();
    match (hosts.next(), hosts.next()) {
        (None, _) if version < Version::HTTP_11 => Ok(()),
        (None, _) => Err(Refusal::NoHost),
        (Some(_), Some(_)) => Err(Refusal::ManyHosts),
        (Some(host), None) if is_host(host.as_bytes()) => Ok(()),
        (Some(_), None) => Err(Refusal::InvalidHost),
    }
}

/// `uri-host [ ":" port ]` of RFC 9110, section 7.2, for the scheme http: the host is not empty.
fn is_host(text: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(text) else {
        return false;
    };
    let (host, port) = match text.strip_prefix('[').and_then(|text| text.split_once(']')) {
        Some((literal, port)) => {
            if literal.parse::<Ipv6Addr>().is_err() {
                return false;
            }
            match port {
                "" => return true,
                port => ("literal", port.strip_prefix(':')),
            }
        }
        None => match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, Some("")),
        },
    };
    let is_port = |port: &str| {
        port.is_empty() || port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_ok()
    };
    is_name(host) && port.is_some_and(is_port)
}

/// A `reg-name` of RFC 3986, not empty.
fn is_name(host: &str) -> bool {
    let mut bytes = host.bytes();
    while let Some(byte) = bytes.next() {
        let fits = match byte {
            b'%' => {
                let mut hex = || bytes.next().is_some_and(|byte| byte.is_ascii_hexdigit());
                hex() && hex()
            }
            byte => byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=".contains(&byte),
        };
        if !fits {
            return false;
        }
    }
    !host.is_empty()
}

/// RFC 9112, section 6.1. hyper ensures that the last coding is chunked.
fn check_codings(headers: &HeaderMap) -> Result<(), Refusal> {
    let mut chunked = 0;
    for value in headers.get_all(TRANSFER_ENCODING) {
        let value = value.to_str().map_err(|_| Refusal::UnknownCoding)?;
        for coding in value.split(',').map(str::trim) {
            match coding {
                "" => {}
                coding if coding.eq_ignore_ascii_case("chunked") => chunked += 1,
                _ => return Err(Refusal::UnknownCoding),
            }
        }
    }
    match chunked {
        0 | 1 => Ok(()),
        _ => Err(Refusal::ChunkedTwice),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_a_name_or_an_address_with_an_optional_port() {
        for host in [
            "a",
            "A.example",
            "127.0.0.1",
            "a:80",
            "a:",
            "[::1]",
            "[::1]:8080",
            "x%41y",
            "a_b~c!",
            "a:65535",
        ] {
            assert!(is_host(host.as_bytes()), "{host}");
        }
        for wrong in [
            "", ":80", "a:b", "a:-1", "a:65536", "a:+1", "a:1:2", "::1", "[::1", "[::1]8", "[a]",
            "user@a", "a/b", "a b", "a,b c", "http://a", "%4", "%zz", "a\u{e9}", "a?b", "a#b",
            "[::1]x:1",
        ] {
            assert!(!is_host(wrong.as_bytes()), "{wrong}");
        }
    }
}
