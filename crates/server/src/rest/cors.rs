//! Cross-origin requests: the pages of which origins may call a REST API.

use std::str::FromStr;
use std::time::Duration;

use http::header::{LOCATION, RETRY_AFTER};
use http::{HeaderValue, Uri};
use tower_http::cors::{AllowHeaders, AllowMethods, AllowOrigin, CorsLayer};

use crate::stack::TRACERESPONSE;

/// How long browsers may reuse the response to a preflight.
const MAX_AGE: Duration = Duration::from_secs(3600);

/// The origins whose pages may call a REST API from a browser.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum CorsOrigins {
    /// Empty text: none. The API has no CORS headers and answers no preflight.
    #[default]
    None,
    /// `*`: every origin.
    Any,
    /// These origins, as browsers spell them.
    List(Vec<HeaderValue>),
}

/// A list of origins that cannot be parsed.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "expected origins such as https://example.org or http://localhost:3000, separated by commas, or *"
)]
pub struct InvalidOrigins;

// === impl CorsOrigins ===

impl CorsOrigins {
    /// Answers preflights, and lets the allowed origins read responses. Without credentials.
    pub(super) fn layer(self) -> Option<CorsLayer> {
        let origins = match self {
            Self::None => return None,
            Self::Any => AllowOrigin::any(),
            Self::List(origins) => AllowOrigin::list(origins),
        };
        let layer = CorsLayer::new()
            .allow_origin(origins)
            .allow_methods(AllowMethods::mirror_request())
            .allow_headers(AllowHeaders::mirror_request())
            .expose_headers([LOCATION, RETRY_AFTER, TRACERESPONSE])
            .max_age(MAX_AGE);
        Some(layer)
    }
}

impl FromStr for CorsOrigins {
    type Err = InvalidOrigins;

    fn from_str(text: &str) -> Result<Self, InvalidOrigins> {
        match text.trim() {
            "" => return Ok(Self::None),
            "*" => return Ok(Self::Any),
            _ => {}
        }
        let origins = text.split(',').map(|origin| parse(origin.trim()));
        origins.collect::<Result<_, _>>().map(Self::List)
    }
}

/// `scheme://host[:port]`, in lower case and without a default port, which browsers leave out.
fn parse(origin: &str) -> Result<HeaderValue, InvalidOrigins> {
    let uri: Uri = origin.parse().map_err(|_| InvalidOrigins)?;
    let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
        return Err(InvalidOrigins);
    };
    let is_bare = uri.path() == "/" && uri.query().is_none() && !origin.ends_with('/');
    if !matches!(scheme, "http" | "https") || !is_bare || authority.as_str().contains('@') {
        return Err(InvalidOrigins);
    }
    let host = authority.host().to_ascii_lowercase();
    let origin = match (scheme, authority.port_u16()) {
        ("http", Some(80)) | ("https", Some(443)) | (_, None) => format!("{scheme}://{host}"),
        (_, Some(port)) => format!("{scheme}://{host}:{port}"),
    };
    HeaderValue::try_from(origin).map_err(|_| InvalidOrigins)
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::body::Body;
    use axum::routing::get;
    use grpc_prometheus::Exposition;
    use http::{Method, Request, Response, StatusCode};
    use tower::ServiceExt;
    use vitalmesh_telemetry::Tracer;

    use super::super::rest_stack;
    use super::*;

    async fn answer(cors: &str, method: Method, origin: &str) -> Response<Body> {
        let cors = cors.parse().unwrap();
        let routes = Router::new().route("/a", get("answer"));
        let app = rest_stack(routes, &[], &Exposition::default(), Tracer::default(), cors).unwrap();
        let request = Request::builder()
            .method(method)
            .uri("/a")
            .header("origin", origin)
            .header("access-control-request-method", "PUT")
            .header("access-control-request-headers", "x-a, content-type");
        app.oneshot(request.body(Body::empty()).unwrap())
            .await
            .unwrap()
    }

    fn header<'a>(response: &'a Response<Body>, name: &str) -> &'a str {
        let value = response.headers().get(name);
        value.map_or("", |value| value.to_str().unwrap())
    }

    #[tokio::test]
    async fn no_origin_is_allowed_unless_the_setting_names_it() {
        let origin = "https://a.example";
        for (cors, allowed) in [
            ("", ""),
            ("https://b.example", ""),
            ("https://b.example, https://A.example:443", origin),
            ("*", "*"),
        ] {
            let response = answer(cors, Method::GET, origin).await;
            assert_eq!(response.status(), StatusCode::OK);
            assert_eq!(header(&response, "access-control-allow-origin"), allowed);
            let exposed = if !cors.is_empty() {
                "location,retry-after,traceresponse"
            } else {
                ""
            };
            assert_eq!(header(&response, "access-control-expose-headers"), exposed);
        }
    }

    #[tokio::test]
    async fn a_preflight_is_answered_for_an_allowed_origin() {
        let response = answer("http://a:1", Method::OPTIONS, "http://a:1").await;
        assert_eq!(response.status(), StatusCode::OK);
        for (name, value) in [
            ("access-control-allow-origin", "http://a:1"),
            ("access-control-allow-methods", "PUT"),
            ("access-control-allow-headers", "x-a, content-type"),
            ("access-control-max-age", "3600"),
            ("access-control-allow-credentials", ""),
        ] {
            assert_eq!(header(&response, name), value, "{name}");
        }
        assert!(header(&response, "vary").contains("origin"));
        let off = answer("", Method::OPTIONS, "http://a:1").await;
        assert_eq!(off.status(), StatusCode::METHOD_NOT_ALLOWED);
    }

    #[test]
    fn only_origins_are_accepted() {
        for wrong in [
            ",",
            "a.example",
            "https://a.example/",
            "https://a.example/path",
            "https://a.example?x",
            "https://a.example,",
            "https://a.example *",
            "https://a b",
            "*,https://a.example",
            "ftp://a.example",
            "https://user@a.example",
            "null",
        ] {
            assert_eq!(wrong.parse::<CorsOrigins>(), Err(InvalidOrigins), "{wrong}");
        }
        let list = |origins: &[&'static str]| {
            CorsOrigins::List(
                origins
                    .iter()
                    .map(|o| HeaderValue::from_static(o))
                    .collect(),
            )
        };
        for (text, expected) in [
            ("", CorsOrigins::None),
            (" ", CorsOrigins::None),
            (" * ", CorsOrigins::Any),
            ("HTTP://Localhost:3000", list(&["http://localhost:3000"])),
            ("http://[::1]:80", list(&["http://[::1]"])),
            (
                "https://a:443,http://b:443",
                list(&["https://a", "http://b:443"]),
            ),
        ] {
            assert_eq!(text.parse(), Ok(expected), "{text}");
        }
    }
}
