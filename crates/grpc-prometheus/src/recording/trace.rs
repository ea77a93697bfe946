//! The trace id of a request, for exemplars.

use http::{Extensions, HeaderMap, HeaderName};

use crate::series::TraceId;

static TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// From the extensions, else from the W3C `traceparent` header if its sampled flag is set.
pub(crate) fn find(headers: &HeaderMap, extensions: &Extensions) -> Option<TraceId> {
    if let Some(id) = extensions.get() {
        return Some(*id);
    }
    from_traceparent(headers.get(&TRACEPARENT)?.as_bytes())
}

/// `00-{32 hex digits}-{16 hex digits}-{2 hex digits of flags}`
fn from_traceparent(value: &[u8]) -> Option<TraceId> {
    let dashes = value.get(2)? == &b'-' && value.get(35)? == &b'-' && value.get(52)? == &b'-';
    let [flags] = hex(value.get(53..)?)?;
    let sampled = flags & 1 == 1;
    let id = hex(value.get(3..35)?)?;
    (dashes && sampled && TraceId(id) != TraceId::NONE).then_some(TraceId(id))
}

/// Decodes the first `N` bytes of hex digits.
fn hex<const N: usize>(digits: &[u8]) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(digits.get(..N * 2)?.chunks_exact(2)) {
        let digit = |c: u8| char::from(c).to_digit(16);
        // No truncation: two hex digits are below 256.
        *byte = (digit(pair[0])? * 16 + digit(pair[1])?) as u8;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_sampled_well_formed_traceparent_has_an_id() {
        let sampled = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let id = from_traceparent(sampled).unwrap();
        assert_eq!(id.0[..3], [0x0a, 0xf7, 0x65]);
        assert_eq!(id.0[15], 0x9c);
        for bad in [
            &b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"[..],
            b"00-00000000000000000000000000000000-b7ad6b7169203331-01",
            b"00-0af7651916cd43dd8448eb211c80319g-b7ad6b7169203331-01",
            b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-",
            b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
            b"00 0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            b"",
        ] {
            assert_eq!(from_traceparent(bad), None, "{bad:?}");
        }
    }
}
