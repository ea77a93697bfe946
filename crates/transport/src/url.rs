//! The URL of an upstream service.

use http::Uri;

/// Parses an upstream's URL; for clap's `value_parser`.
///
/// # Errors
///
/// If the text is not `http://host:port`.
pub fn service_url(text: &str) -> Result<Uri, String> {
    let expected = || "expected a URL such as http://127.0.0.1:50051".to_owned();
    let uri: Uri = text.parse().map_err(|_| expected())?;
    let plain = uri.scheme_str() == Some("http") && matches!(uri.path(), "" | "/");
    match uri.port() {
        Some(_) if plain => Ok(uri),
        _ => Err(expected()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_has_a_host_and_a_port_and_no_path() {
        assert!(service_url("http://edge:50053").is_ok());
        for wrong in [
            "",
            "edge:50053",
            "http://edge",
            "https://edge:1",
            "http://a:1/path",
        ] {
            let error = service_url(wrong).unwrap_err();
            assert!(error.contains("http://127"), "{wrong}");
        }
    }
}
