//! Which requests and responses are gRPC.

use http::HeaderValue;

/// A content type of gRPC or grpc-web.
///
/// The names are those of the gRPC and grpc-web protocols, in any case: `application/grpc`,
/// `application/grpc-web` or `application/grpc-web-text`, alone or with a suffix such as `+proto`,
/// and with any parameters. A server answers others with HTTP status 415.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContentType {
    /// gRPC over HTTP/2.
    Grpc,
    /// grpc-web in its binary form, whose body ends with a frame of trailers.
    Web,
    /// grpc-web in base64.
    WebText,
}

const GRPC: &[u8; 16] = b"application/grpc";
const WEB: &[u8] = b"-web";
const TEXT: &[u8] = b"-text";

// === impl ContentType ===

impl ContentType {
    /// `None` if the content type is missing or another one.
    #[inline]
    pub fn of(value: Option<&HeaderValue>) -> Option<Self> {
        let value = value?.as_bytes();
        // Nearly all peers send this.
        if value == GRPC {
            return Some(Self::Grpc);
        }
        Self::parse(value)
    }

    #[inline(never)]
    fn parse(value: &[u8]) -> Option<Self> {
        let (content_type, rest) = match strip(value, &GRPC[..])? {
            [] => return Some(Self::Grpc),
            rest => match strip(rest, WEB) {
                None => (Self::Grpc, rest),
                Some(rest) => match strip(rest, TEXT) {
                    None => (Self::Web, rest),
                    Some(rest) => (Self::WebText, rest),
                },
            },
        };
        let ends = match rest.trim_ascii_start() {
            [] | [b';', ..] => true,
            _ => rest[0] == b'+',
        };
        ends.then_some(content_type)
    }
}

/// What follows the prefix, in any case.
fn strip<'a>(value: &'a [u8], prefix: &[u8]) -> Option<&'a [u8]> {
    let (start, rest) = value.split_at_checked(prefix.len())?;
    start.eq_ignore_ascii_case(prefix).then_some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(value: &str) -> Option<ContentType> {
        ContentType::of(Some(&HeaderValue::from_str(value).unwrap()))
    }

    #[test]
    fn the_three_forms_are_told_apart_in_any_case_with_any_suffix_and_parameters() {
        for (base, expected) in [
            ("application/grpc", ContentType::Grpc),
            ("Application/gRPC", ContentType::Grpc),
            ("application/grpc-web", ContentType::Web),
            ("APPLICATION/GRPC-WEB", ContentType::Web),
            ("application/grpc-web-text", ContentType::WebText),
        ] {
            for rest in [
                "",
                "+proto",
                "+json",
                ";charset=utf-8",
                " ; x=y",
                "+proto; x=y",
                "\t",
            ] {
                let value = format!("{base}{rest}");
                assert_eq!(of(&value), Some(expected), "{value:?}");
            }
        }
    }

    #[test]
    fn other_content_types_are_not_grpc() {
        assert_eq!(ContentType::of(None), None);
        for value in [
            "",
            "application/grp",
            "application/grpcx",
            "application/grpc_web",
            "application/grpc-webx",
            "application/grpc-web-textual",
            "application/grpc proto",
            "application/grpc,application/json",
            "xapplication/grpc",
            "text/plain; application/grpc",
        ] {
            assert_eq!(of(value), None, "{value:?}");
        }
    }
}
