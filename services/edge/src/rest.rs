//! The REST routes.

mod error;
mod heartbeats;
mod name;
mod proxy;

use axum::Router;
use axum::routing::get;
use vitalmesh_chassis::{AnyChannel, Method, Route};

pub use self::proxy::Upstreams;

use self::error::Error;
use crate::roster::Roster;

/// The routes and their statuses.
pub(crate) const ROUTES: &[Route] = &[
    Route::with_upstreams(Method::GET, "/proxy/{name}", &[200]),
    Route::new(Method::GET, "/heartbeats", &[200]),
];

/// A name has at least one character: `/proxy/` and `/proxy//` are unknown paths.
pub fn router<C: AnyChannel>(upstreams: Upstreams<C>, roster: Roster) -> Router {
    let proxied = Router::new()
        .route("/proxy/{name}", get(proxy::proxy::<C>))
        .with_state(upstreams);
    Router::new()
        .route("/heartbeats", get(heartbeats::list))
        .with_state(roster)
        .merge(proxied)
        .fallback(|| async { Error::UnknownPath })
        .method_not_allowed_fallback(|| async { Error::WrongMethod })
}
