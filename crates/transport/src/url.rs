//! The URL of an upstream service.

use http::Uri;

/// Parses an upstream's URL; for clap's `value_parser`.
///
/// # Errors
///
/// If the text is not `http://host:port`.
pub fn service_url(text: &str) -> Result<Uri, String> {
    let expected = || "expected a URL such as http://127.0.0.1:50051".to_owned();
    let uri: Uri = text.trim().parse().map_err(|_| expected())?;
    let scheme = uri.scheme_str().unwrap_or_default();
    let is_plain = scheme.eq_ignore_ascii_case("http")
        && matches!(uri.path(), "" | "/")
        && uri.query().is_none();
    let authority = uri.authority().filter(|_| is_plain).ok_or_else(expected)?;
    let has_user = authority.as_str().contains('@');
    if authority.host().is_empty() || authority.port().is_none() || has_user {
        return Err(expected());
    }
    format!("http://{authority}")
        .parse()
        .map_err(|_| expected())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_has_a_host_and_a_port_and_no_path() {
        let edge = Uri::from_static("http://edge:50053");
        for url in [
            "http://edge:50053",
            "HTTP://edge:50053/",
            " http://edge:50053\n",
        ] {
            assert_eq!(service_url(url), Ok(edge.clone()), "{url}");
        }
        for wrong in [
            "",
            "edge:50053",
            "http://edge",
            "https://edge:1",
            "http://a:1/path",
            "http://a:1?query",
            "http://user@a:1",
            "http://a:65536",
            "http://:1",
        ] {
            let error = service_url(wrong).unwrap_err();
            assert!(error.contains("http://127"), "{wrong}");
        }
    }
}
