//! The layers around REST routes, and the metrics page beside them.

mod cors;
mod metrics;
mod route;

use axum::Router;
use axum::extract::MatchedPath;
use axum::response::IntoResponse;
use axum::routing::get;
use grpc_prometheus::Exposition;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use tower::ServiceBuilder;
use tower_http::catch_panic::CatchPanicLayer;

use vitalmesh_telemetry::Tracer;

pub use self::cors::{CorsOrigins, InvalidOrigins};
use self::metrics::HttpMetrics;
pub use self::route::Route;
use crate::icon;
use crate::problem::Problem;
use crate::request::{RequestInfo, Target};
use crate::stack::SpanLayer;

/// The metrics page, for a Prometheus that cannot reach the scrape port.
const METRICS_PATH: &str = "/prometheus/metrics";

/// Adds metrics, spans, panic handling and the page `/prometheus/metrics` to `routes`, an icon that is
/// not counted, and CORS for the pages of `cors`. The series of `known` routes start at 0.
///
/// # Errors
///
/// If the registry already has the HTTP metrics.
pub fn rest_stack(
    routes: Router,
    known: &[Route],
    exposition: &Exposition,
    tracer: Tracer,
    cors: CorsOrigins,
) -> prometheus::Result<Router> {
    let metrics = HttpMetrics::register(exposition.registry())?;
    let exposition = exposition.clone();
    let page = move |headers: HeaderMap| async move { metrics_page(&exposition, &headers) };
    for route in known {
        route.create_series(&metrics);
    }
    Route::new(Method::GET, METRICS_PATH, &[200]).create_series(&metrics);
    let layers = ServiceBuilder::new()
        // Outermost: one record per request, however it ends.
        .layer(metrics)
        // Only the router knows the route that the span is named after.
        .map_request(name_route)
        .layer(SpanLayer::http(tracer))
        .option_layer(cors.layer())
        // A panic becomes 500; the layers above count and log it.
        .layer(CatchPanicLayer::custom(|_| panicked()));
    let routes = routes.route(METRICS_PATH, get(page)).layer(layers);
    Ok(routes.route(icon::PATH, get(icon::icon)))
}

/// The metrics of the registry, as `Accept` and `Accept-Encoding` select.
pub(crate) fn metrics_page(
    exposition: &Exposition,
    headers: &HeaderMap,
) -> Response<axum::body::Body> {
    exposition.respond(headers).map(axum::body::Body::new)
}

fn name_route<B>(mut request: Request<B>) -> Request<B> {
    let route = request.extensions().get::<MatchedPath>();
    let route = route.map(|route| Target::Route(route.as_str().into()));
    if let Some(info) = request.extensions_mut().get_mut::<RequestInfo>() {
        info.target = route.unwrap_or(Target::Unknown);
    }
    request
}

fn panicked() -> Response<axum::body::Body> {
    Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "the handler panicked").into_response()
}

#[cfg(test)]
mod tests {
    use http::header::CONTENT_TYPE;
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
    async fn a_panic_in_a_handler_is_a_problem_with_status_500() {
        async fn broken() -> &'static str {
            panic!("on demand")
        }
        let routes = Router::new().route("/broken", get(broken));
        let app = rest_stack(
            routes,
            &[],
            &Exposition::default(),
            Tracer::default(),
            CorsOrigins::None,
        )
        .unwrap();
        let request = Request::get("/broken").body(axum::body::Body::empty());
        let response = app.oneshot(request.unwrap()).await.unwrap();
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(response.headers()[CONTENT_TYPE], "application/problem+json");
    }

    fn counted(exposition: &Exposition) -> Vec<String> {
        let (_, page) = exposition.encode(None);
        let page = String::from_utf8(page.into()).unwrap();
        let lines = page.lines().filter_map(|line| {
            let series = line.strip_prefix("http_server_requests_total")?;
            (!series.contains(METRICS_PATH)).then(|| series.to_owned())
        });
        lines.collect()
    }

    #[tokio::test]
    async fn requests_are_counted_by_route_not_by_path() {
        let exposition = Exposition::default();
        let routes = Router::new().route("/proxy/{name}", get("answer"));
        let app = rest_stack(
            routes,
            &[],
            &exposition,
            Tracer::default(),
            CorsOrigins::None,
        )
        .unwrap();
        for path in ["/proxy/a", "/proxy/b", "/nothing", "/at/all"] {
            ask(&app, "GET", path).await;
        }
        ask(&app, "POST", "/proxy/a").await;
        ask(&app, "BREW", "/nothing").await;
        assert_eq!(
            counted(&exposition),
            [
                r#"{method="GET",route="/proxy/{name}",status="200"} 2"#,
                r#"{method="GET",route="unknown",status="404"} 2"#,
                r#"{method="POST",route="/proxy/{name}",status="405"} 1"#,
                r#"{method="other",route="unknown",status="404"} 1"#,
            ]
        );
    }

    #[tokio::test]
    async fn the_series_of_a_known_route_start_at_zero_for_each_status() {
        let exposition = Exposition::default();
        let routes = Router::new().route("/sum/{n}", get("answer"));
        let known = [Route::new(Method::GET, "/sum/{n}", &[200, 400])];
        let app = rest_stack(
            routes,
            &known,
            &exposition,
            Tracer::default(),
            CorsOrigins::None,
        )
        .unwrap();
        let zeros = ["200", "400", "499", "500"]
            .map(|status| format!(r#"{{method="GET",route="/sum/{{n}}",status="{status}"}} 0"#));
        assert_eq!(counted(&exposition), zeros);
        let (_, page) = exposition.encode(None);
        let labels = r#"{method="GET",route="/sum/{n}"}"#;
        assert!(page.contains(&format!(
            "http_server_request_duration_seconds_count{labels} 0\n"
        )));

        ask(&app, "GET", "/sum/1").await;
        let after = counted(&exposition);
        assert!(after[0].ends_with(r#"status="200"} 1"#), "{after:?}");
        assert_eq!(after[1..], zeros[1..]);
    }

    async fn page(app: &Router, path: &str) -> Response<axum::body::Body> {
        let request = Request::get(path).body(axum::body::Body::empty());
        app.clone().oneshot(request.unwrap()).await.unwrap()
    }

    #[tokio::test]
    async fn the_icon_is_served_and_not_counted() {
        let exposition = Exposition::default();
        let app = rest_stack(
            Router::new(),
            &[],
            &exposition,
            Tracer::default(),
            CorsOrigins::None,
        )
        .unwrap();
        let response = page(&app, "/favicon.ico").await;
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()[CONTENT_TYPE], "image/x-icon");
        let icon = response.into_body().collect().await.unwrap().to_bytes();
        assert!(icon.starts_with(&[0, 0, 1, 0]));
        assert!(counted(&exposition).is_empty());
    }

    #[test]
    fn a_route_with_upstreams_has_the_status_of_every_code() {
        let exposition = Exposition::default();
        let known = [Route::with_upstreams(Method::GET, "/ask", &[200])];
        let _ = rest_stack(
            Router::new(),
            &known,
            &exposition,
            Tracer::default(),
            CorsOrigins::None,
        )
        .unwrap();
        let statuses = [200, 400, 401, 403, 404, 409, 429, 499, 500, 501, 503, 504];
        let zeros =
            statuses.map(|status| format!(r#"{{method="GET",route="/ask",status="{status}"}} 0"#));
        assert_eq!(counted(&exposition), zeros);
    }
}
