//! HTTP: the status of an abandoned request, and methods as label values.

use http::Method;

/// The status recorded for a request whose client disconnected before the response (nginx's 499).
pub const CLIENT_CLOSED_REQUEST: u16 = 499;

/// The method as a label value: one of the nine registered methods, or `other`, so that a client
/// cannot create series.
pub fn method_label(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        Method::CONNECT => "CONNECT",
        Method::TRACE => "TRACE",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_invented_method_shares_one_label() {
        assert_eq!(method_label(&Method::GET), "GET");
        for invented in ["BREW", "get", "PROPFIND"] {
            let method = Method::from_bytes(invented.as_bytes()).unwrap();
            assert_eq!(method_label(&method), "other", "{invented}");
        }
    }
}
