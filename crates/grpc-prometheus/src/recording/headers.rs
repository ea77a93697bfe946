//! Header look-ups on the hot path.

use http::{HeaderMap, HeaderName, HeaderValue};

/// Linear search: requests have few headers, and comparing a dozen names is cheaper than hashing
/// one.
#[inline]
pub(crate) fn get<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a HeaderValue> {
    let mut headers = headers.iter();
    headers.find_map(|(known, value)| (known == name).then_some(value))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_header_is_found_as_in_its_map(
            headers in prop::collection::vec((0..8_usize, 0..4_u8), 0..12),
            wanted in 0..8_usize,
        ) {
            const NAMES: [&str; 8] = [
                "grpc-status", "grpc-statu", "grpc-status2", "content-type", "te", "x-a", "x-b", "x-c",
            ];
            let mut map = HeaderMap::new();
            for (name, value) in headers {
                map.append(NAMES[name], HeaderValue::from(u16::from(value)));
            }
            let name = HeaderName::from_static(NAMES[wanted]);
            prop_assert_eq!(get(&map, &name), map.get(&name));
        }
    }
}
