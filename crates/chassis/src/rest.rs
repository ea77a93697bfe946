//! What surrounds a service's REST routes: the layers around each, and its metrics page.

mod metrics;

use std::sync::Arc;

use axum::Router;
use axum::extract::MatchedPath;
use axum::response::IntoResponse;
use axum::routing::get;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderMap, Request, Response, StatusCode};
use prometheus::Registry;
use tower::ServiceBuilder;
use tower_http::catch_panic::CatchPanicLayer;

use self::metrics::HttpMetrics;
pub(crate) use self::metrics::{CLIENT_CLOSED, method_label};
use crate::stack::span::{Arrival, SpanLayer};
use crate::trace::Tracer;

/// The service's metrics beside its routes, for a Prometheus that cannot reach the scrape port.
const METRICS_PATH: &str = "/prometheus/metrics";

/// The routes, with the service's metrics page beside them and the layers around each.
pub(crate) fn instrument(
    routes: Router,
    registry: &Registry,
    tracer: Tracer,
) -> prometheus::Result<Router> {
    let pages = registry.clone();
    let page = move |headers: HeaderMap| async move { exposition(&pages, &headers) };
    let layers = ServiceBuilder::new()
        // Outermost: one record a request, whatever happens below.
        .layer(HttpMetrics::register(registry)?)
        // The span names the route, which only the router knows.
        .map_request(name_route)
        .layer(SpanLayer::http(tracer))
        // A panic below becomes 500 and is still counted and logged above.
        .layer(CatchPanicLayer::custom(|_| panicked()));
    Ok(routes.route(METRICS_PATH, get(page)).layer(layers))
}

/// The metrics of `registry` in the format that the client asks for.
pub(crate) fn exposition(registry: &Registry, headers: &HeaderMap) -> Response<axum::body::Body> {
    let accept = headers.get(ACCEPT).and_then(|accept| accept.to_str().ok());
    let (content_type, body) = grpc_prometheus::encode(registry, accept);
    ([(CONTENT_TYPE, content_type)], body).into_response()
}

fn name_route<B>(mut request: Request<B>) -> Request<B> {
    let route = request.extensions().get::<MatchedPath>();
    let route = route.map(|route| Arc::from(route.as_str()));
    if let Some(arrival) = request.extensions_mut().get_mut::<Arrival>() {
        arrival.method = route;
    }
    request
}

fn panicked() -> Response<axum::body::Body> {
    let problem = serde_json::json!({
        "type": "about:blank",
        "title": "Internal Server Error",
        "status": 500,
        "detail": "the handler panicked",
    });
    (
        StatusCode::INTERNAL_SERVER_ERROR,
        [(CONTENT_TYPE, "application/problem+json")],
        problem.to_string(),
    )
        .into_response()
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;
    use tower::ServiceExt;

    use super::*;

    async fn ask(app: &Router, method: &str, path: &str) {
        let request = Request::builder().method(method).uri(path);
        let request = request.body(axum::body::Body::empty()).unwrap();
        let response = app.clone().oneshot(request).await.unwrap();
        response.into_body().collect().await.unwrap();
    }

    #[tokio::test]
    async fn a_panic_in_a_handler_is_a_500_problem() {
        async fn broken() -> &'static str {
            panic!("on demand")
        }
        let routes = Router::new().route("/broken", get(broken));
        let app = instrument(routes, &Registry::new(), Tracer::default()).unwrap();
        let request = Request::get("/broken").body(axum::body::Body::empty());
        let response = app.oneshot(request.unwrap()).await.unwrap();
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(response.headers()[CONTENT_TYPE], "application/problem+json");
    }

    #[tokio::test]
    async fn requests_are_counted_by_route_whatever_the_path() {
        let registry = Registry::new();
        let routes = Router::new().route("/proxy/{name}", get("answer"));
        let app = instrument(routes, &registry, Tracer::default()).unwrap();
        for path in ["/proxy/a", "/proxy/b", "/nothing", "/at/all"] {
            ask(&app, "GET", path).await;
        }
        ask(&app, "POST", "/proxy/a").await;
        ask(&app, "BREW", "/nothing").await;

        let (_, page) = grpc_prometheus::encode(&registry, None);
        let page = String::from_utf8(page.into()).unwrap();
        let counted: Vec<_> = page
            .lines()
            .filter(|line| line.starts_with("http_server_requests_total"))
            .collect();
        assert_eq!(
            counted,
            [
                r#"http_server_requests_total{method="GET",route="/proxy/{name}",status="200"} 2"#,
                r#"http_server_requests_total{method="GET",route="unknown",status="404"} 2"#,
                r#"http_server_requests_total{method="POST",route="/proxy/{name}",status="405"} 1"#,
                r#"http_server_requests_total{method="other",route="unknown",status="404"} 1"#,
            ]
        );
    }
}
