//! Header look-ups on the hot path.

use http::{HeaderMap, HeaderName, HeaderValue};

/// Linear search: requests have few headers, and comparing a dozen names is cheaper than hashing
/// one.
#[inline]
pub(crate) fn get<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a HeaderValue> {
    let mut headers = headers.iter();
    headers.find_map(|(known, value)| (known == name).then_some(value))
}

/// The first values of two different headers, in one pass.
#[inline(always)]
pub(crate) fn get_two<'a>(
    headers: &'a HeaderMap,
    names: [&HeaderName; 2],
) -> [Option<&'a HeaderValue>; 2] {
    let mut found = [None; 2];
    for (known, value) in headers {
        if known == names[0] {
            found[0].get_or_insert(value);
        } else if known == names[1] {
            found[1].get_or_insert(value);
        }
    }
    found
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
            let other = HeaderName::from_static(NAMES[(wanted + 1) % NAMES.len()]);
            let expected = [map.get(&name), map.get(&other)];
            prop_assert_eq!(get_two(&map, [&name, &other]), expected);
        }
    }
}
