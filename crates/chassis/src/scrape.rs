//! The scrape port: metrics and health pages, on a thread and a runtime of their own, so that
//! they answer also when the service's own runtime is busy.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::thread::JoinHandle;

use axum::Router;
use axum::extract::State;
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use http::header::ACCEPT;
use http::{HeaderMap, HeaderValue, StatusCode};
use prometheus::Registry;
use tokio_util::sync::CancellationToken;

use crate::listener::Listener;
use crate::methods::Methods;
use crate::rest::exposition;

/// Whether the service takes calls, for `/readyz`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Readiness(Arc<AtomicU8>);

/// What `/readyz` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Starting = 0,
    Serving = 1,
    Draining = 2,
}

/// The running scrape port.
#[derive(Debug)]
pub(crate) struct Scrape {
    stop: CancellationToken,
    thread: JoinHandle<io::Result<()>>,
}

#[derive(Clone, Debug)]
struct Pages {
    service: &'static str,
    registry: Registry,
    readiness: Readiness,
}

// === impl Readiness ===

impl Readiness {
    pub(crate) fn set(&self, phase: Phase) {
        self.0.store(phase as u8, Ordering::Release);
    }

    fn get(&self) -> Phase {
        match self.0.load(Ordering::Acquire) {
            0 => Phase::Starting,
            1 => Phase::Serving,
            _ => Phase::Draining,
        }
    }
}

// === impl Scrape ===

impl Scrape {
    /// Serves the pages of `registry` until [`Scrape::stop`].
    pub(crate) fn start(
        listener: Listener,
        service: &'static str,
        registry: Registry,
        readiness: Readiness,
    ) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let stop = CancellationToken::new();
        let drain = stop.clone();
        let pages = Pages {
            service,
            registry,
            readiness,
        };
        let thread = std::thread::Builder::new()
            .name(format!("{service}-scrape"))
            .spawn(move || {
                let app = router().with_state(pages);
                let serve = listener.serve(app, Arc::new(Methods::default()), drain);
                runtime.block_on(serve)
            })?;
        Ok(Self { stop, thread })
    }

    /// Closes the port. Called last, so that the end of every call can still be scraped.
    pub(crate) async fn stop(self) {
        self.stop.cancel();
        let joined = tokio::task::spawn_blocking(|| self.thread.join()).await;
        if !matches!(joined, Ok(Ok(Ok(())))) {
            tracing::error!("the scrape port did not end cleanly");
        }
    }
}

fn router() -> Router<Pages> {
    Router::new()
        .route("/", get(index))
        .route("/metrics", get(metrics))
        .route("/livez", get("ok\n"))
        .route("/readyz", get(ready))
}

/// A page for a browser; the metrics for everybody else, as some scrape `/`.
async fn index(State(pages): State<Pages>, headers: HeaderMap) -> Response {
    let browser = |accept: &HeaderValue| accept.to_str().is_ok_and(|a| a.contains("text/html"));
    if !headers.get(ACCEPT).is_some_and(browser) {
        return exposition(&pages.registry, &headers);
    }
    let service = pages.service;
    Html(format!(
        "<!doctype html><html lang=en><meta charset=utf-8><title>{service}</title>\
         <h1>{service}</h1><ul><li><a href=/metrics>metrics</a>\
         <li><a href=/livez>alive</a><li><a href=/readyz>ready</a></ul>"
    ))
    .into_response()
}

async fn metrics(State(pages): State<Pages>, headers: HeaderMap) -> Response {
    exposition(&pages.registry, &headers)
}

async fn ready(State(pages): State<Pages>) -> (StatusCode, &'static str) {
    match pages.readiness.get() {
        Phase::Starting => (StatusCode::SERVICE_UNAVAILABLE, "starting\n"),
        Phase::Serving => (StatusCode::OK, "ok\n"),
        Phase::Draining => (StatusCode::SERVICE_UNAVAILABLE, "draining\n"),
    }
}
