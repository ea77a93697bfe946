//! One rule for the paths of every port: a trailing slash does not matter. A request loses it before
//! routing, so metrics and spans have one route.

use http::Uri;
use http::uri::PathAndQuery;

/// The URI without its trailing slash, if it has one. The path `/` and one that ends with an empty
/// segment (`//`) stay as they are.
pub(super) fn trimmed(uri: &Uri) -> Option<Uri> {
    let path = uri.path().strip_suffix('/')?;
    if path.is_empty() || path.ends_with('/') {
        return None;
    }
    let path_and_query = match uri.query() {
        Some(query) => PathAndQuery::try_from(format!("{path}?{query}")),
        None => PathAndQuery::try_from(path),
    };
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(path_and_query.ok()?);
    Uri::from_parts(parts).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_trailing_slash_is_removed_and_nothing_else() {
        for (uri, expected) in [
            ("/a/", Some("/a")),
            ("/a/b/?c=d/", Some("/a/b?c=d/")),
            ("/a%2F/", Some("/a%2F")),
            ("http://host:80/a/", Some("http://host:80/a")),
            ("/", None),
            ("//", None),
            ("/a//", None),
            ("/a", None),
            ("/a?b=/", None),
            ("*", None),
            ("http://host", None),
        ] {
            let expected = expected.map(|uri| uri.parse::<Uri>().unwrap());
            assert_eq!(trimmed(&uri.parse().unwrap()), expected, "{uri}");
        }
    }
}
