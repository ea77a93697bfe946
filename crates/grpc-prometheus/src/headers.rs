//! Header look-ups of a call.

use http::{HeaderMap, HeaderName, HeaderValue};

/// Up to so many headers it is cheaper to look at each than to hash the name.
const FEW: usize = 4;

#[inline]
pub(crate) fn get<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a HeaderValue> {
    if headers.len() > FEW {
        return headers.get(name);
    }
    let mut headers = headers.iter();
    headers.find_map(|(known, value)| (known == name).then_some(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_and_many_headers_answer_the_same() {
        let name = HeaderName::from_static("grpc-status");
        let mut headers = HeaderMap::new();
        for count in 0..2 * FEW {
            assert_eq!(get(&headers, &name), None, "{count} others");
            let mut with = headers.clone();
            with.append(&name, HeaderValue::from_static("first"));
            with.append(&name, HeaderValue::from_static("second"));
            assert_eq!(get(&with, &name), with.get(&name), "{count} others");
            let other = HeaderName::try_from(format!("x-{count}")).unwrap();
            headers.insert(other, HeaderValue::from_static("other"));
        }
    }
}
