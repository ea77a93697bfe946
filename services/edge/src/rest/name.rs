//! The name in a path: percent-encoded UTF-8 of a limited length. Others are rejected with 400.

use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;
use unicode_segmentation::UnicodeSegmentation;

use super::error::Error;

const MAX_BYTES: usize = 1024;
const MAX_GRAPHEMES: usize = 256;

/// Any text within the limits, also control characters: it leaves the edge as protobuf and JSON
/// alone.
#[derive(Debug)]
pub(crate) struct Name(pub(crate) String);

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum InvalidName {
    #[error("the path has a '%' without two hexadecimal digits; write it as %25")]
    Escape,
    #[error("the name is not UTF-8; percent-encode the bytes of its UTF-8 form")]
    NotUtf8,
    #[error("the name has {0} bytes; send at most {MAX_BYTES}")]
    Bytes(usize),
    #[error("the name has {0} grapheme clusters; send at most {MAX_GRAPHEMES}")]
    Graphemes(usize),
}

// === impl Name ===

impl<S: Send + Sync> FromRequestParts<S> for Name {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Error> {
        check_escapes(parts.uri.path())?;
        let Path(name) = Path::<String>::from_request_parts(parts, state)
            .await
            .map_err(|_| InvalidName::NotUtf8)?;
        if name.is_empty() {
            return Err(Error::UnknownPath);
        }
        check_length(&name)?;
        Ok(Self(name))
    }
}

/// Rejects a '%' without two hexadecimal digits, which RFC 3986 does not allow and the router passes
/// through.
fn check_escapes(path: &str) -> Result<(), InvalidName> {
    let is_hex = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_hexdigit);
    let bytes = path.as_bytes();
    let is_broken = (0..bytes.len())
        .any(|at| bytes[at] == b'%' && !(is_hex(bytes.get(at + 1)) && is_hex(bytes.get(at + 2))));
    if is_broken {
        return Err(InvalidName::Escape);
    }
    Ok(())
}

fn check_length(name: &str) -> Result<(), InvalidName> {
    if name.len() > MAX_BYTES {
        return Err(InvalidName::Bytes(name.len()));
    }
    match name.graphemes(true).count() {
        0..=MAX_GRAPHEMES => Ok(()),
        graphemes => Err(InvalidName::Graphemes(graphemes)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_percent_sign_with_two_hexadecimal_digits_is_an_escape() {
        for path in ["/proxy/Ana", "/proxy/%C3%a9", "/proxy/%25", "/"] {
            assert_eq!(check_escapes(path), Ok(()), "{path}");
        }
        for path in [
            "/proxy/%",
            "/proxy/%4",
            "/proxy/%4g/",
            "/proxy/%%20",
            "/proxy/a%zz",
        ] {
            assert_eq!(check_escapes(path), Err(InvalidName::Escape), "{path}");
        }
    }

    #[test]
    fn a_name_is_accepted_up_to_its_limits() {
        let wide = "👍🏽".repeat(128);
        assert_eq!(check_length(&"e\u{301}".repeat(256)), Ok(()));
        assert_eq!(
            check_length(&"e\u{301}".repeat(257)),
            Err(InvalidName::Graphemes(257))
        );
        assert_eq!(check_length(&wide), Ok(()));
        assert_eq!(check_length(&(wide + "a")), Err(InvalidName::Bytes(1025)));
    }
}
