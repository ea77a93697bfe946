//! What a call keeps of the head of its response, in one word.

use http::StatusCode;

use super::code::Code;

/// The HTTP status and two flags. One word, because a call moves with each of its futures and
/// bodies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ResponseHead(u16);

const WEB: u16 = 1 << 15;
const OK: u16 = 1 << 14;

// === impl ResponseHead ===

impl ResponseHead {
    /// No head has arrived.
    pub(crate) const NONE: Self = Self(0);

    /// `is_web` says whether the body is one of grpc-web.
    #[inline]
    pub(crate) fn new(status: StatusCode, is_web: bool) -> Self {
        let flag = if is_web { WEB } else { 0 };
        Self(status.as_u16() | flag)
    }

    /// Notes an OK in the head, before the one message that the call takes.
    #[inline]
    pub(crate) const fn with_ok(self) -> Self {
        Self(self.0 | OK)
    }

    #[inline]
    pub(crate) const fn is_web(self) -> bool {
        self.0 & WEB != 0
    }

    #[inline]
    pub(crate) const fn has_ok(self) -> bool {
        self.0 & OK != 0
    }

    /// The HTTP status; `None` before the head has arrived.
    #[inline]
    pub(crate) fn status(self) -> Option<StatusCode> {
        StatusCode::from_u16(self.0 & !(WEB | OK)).ok()
    }

    /// The code of a response without `grpc-status`.
    #[inline]
    pub(crate) fn http_code(self) -> Code {
        self.status().map_or(Code::UNKNOWN, Code::from_http)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_and_flag_is_read_back() {
        assert_eq!(ResponseHead::NONE.status(), None);
        for status in (100..1_000).map(|status| StatusCode::from_u16(status).unwrap()) {
            for web in [false, true] {
                let head = ResponseHead::new(status, web);
                assert_eq!(head.status(), Some(status));
                assert_eq!((head.is_web(), head.has_ok()), (web, false));
                let head = head.with_ok();
                assert_eq!(head.status(), Some(status));
                assert_eq!((head.is_web(), head.has_ok()), (web, true));
            }
        }
    }
}
