//! The scrape port: metrics and health pages. It has its own thread and runtime, so that it responds
//! while the service's runtime is busy.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::thread::JoinHandle;

use axum::Router;
use axum::extract::State;
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use grpc_prometheus::Exposition;
use http::header::ACCEPT;
use http::{HeaderMap, HeaderValue, StatusCode};

use vitalmesh_context::ServiceContext;

use crate::icon;
use crate::listener::{Listener, Shutdown};
use crate::methods::Methods;
use crate::rest::metrics_page;

/// The phase that `/readyz` reports. Clones share it; the default is [`Phase::Starting`].
#[derive(Clone, Debug, Default)]
pub struct Readiness(Arc<AtomicU8>);

/// A phase of a service's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Not serving yet: 503.
    Starting = 0,
    /// Serving: 200.
    Serving = 1,
    /// Shutting down: 503.
    Draining = 2,
}

/// The running scrape port.
#[derive(Debug)]
pub struct Scrape {
    shutdown: Shutdown,
    thread: JoinHandle<io::Result<()>>,
}

#[derive(Clone, Debug)]
struct Pages {
    service: &'static str,
    exposition: Exposition,
    readiness: Readiness,
}

// === impl Readiness ===

impl Readiness {
    /// Changes the phase.
    pub fn set(&self, phase: Phase) {
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
    /// Serves the pages of `exposition` until [`Scrape::stop`].
    ///
    /// # Errors
    ///
    /// If the thread or its runtime cannot be created.
    pub fn start(
        listener: Listener,
        service: &'static str,
        exposition: Exposition,
        readiness: Readiness,
    ) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let shutdown = Shutdown::default();
        let until = shutdown.clone();
        let pages = Pages {
            service,
            exposition,
            readiness,
        };
        let service_context = ServiceContext::current();
        let thread = std::thread::Builder::new()
            .name(format!("{service}-scrape"))
            .spawn(move || {
                let app = router().with_state(pages);
                let serve = listener.serve(app, Arc::new(Methods::default()), until);
                runtime.block_on(service_context.scope(serve))
            })?;
        Ok(Self { shutdown, thread })
    }

    /// Moves clients away from open connections, as [`Shutdown::begin_lame_duck`] does. The pages
    /// are still served.
    pub fn begin_lame_duck(&self) {
        self.shutdown.begin_lame_duck();
    }

    /// Closes the port. Call it last, so that Prometheus can scrape the final values.
    pub async fn stop(self) {
        self.shutdown.begin_drain();
        let joined = tokio::task::spawn_blocking(|| self.thread.join()).await;
        if !matches!(joined, Ok(Ok(Ok(())))) {
            tracing::error!("the scrape port did not stop cleanly");
        }
    }
}

fn router() -> Router<Pages> {
    Router::new()
        .route("/", get(index))
        .route("/metrics", get(metrics))
        .route("/livez", get("ok\n"))
        .route("/readyz", get(ready))
        .route(icon::PATH, get(icon::icon))
}

/// Links for a browser; metrics for other clients, since some scrape `/`.
async fn index(State(pages): State<Pages>, headers: HeaderMap) -> Response {
    let browser = |accept: &HeaderValue| accept.to_str().is_ok_and(|a| a.contains("text/html"));
    if !headers.get(ACCEPT).is_some_and(browser) {
        return metrics_page(&pages.exposition, &headers);
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
    metrics_page(&pages.exposition, &headers)
}

async fn ready(State(pages): State<Pages>) -> (StatusCode, &'static str) {
    match pages.readiness.get() {
        Phase::Starting => (StatusCode::SERVICE_UNAVAILABLE, "starting\n"),
        Phase::Serving => (StatusCode::OK, "ok\n"),
        Phase::Draining => (StatusCode::SERVICE_UNAVAILABLE, "draining\n"),
    }
}
