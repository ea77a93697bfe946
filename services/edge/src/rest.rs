//! The REST routes.

use axum::Router;
use axum::routing::get;
use vitalmesh_chassis::{Method, Route};

use crate::error::Error;
use crate::proxy::{Channel, Upstreams, proxy};
use crate::roster::{Roster, roll_call};

/// The routes and what they answer.
pub(crate) const ROUTES: &[Route] = &[
    Route::with_upstreams(Method::GET, "/proxy/{name}", &[200]),
    Route::with_upstreams(Method::GET, "/proxy/{name}/", &[200]),
    Route::new(Method::GET, "/heartbeats", &[200]),
];

/// An empty name is no name: `/proxy/` and `/proxy//` are unknown paths.
pub fn router<C: Channel>(upstreams: Upstreams<C>, roster: Roster) -> Router {
    let proxied = Router::new()
        .route("/proxy/{name}", get(proxy::<C>))
        .route("/proxy/{name}/", get(proxy::<C>))
        .with_state(upstreams);
    Router::new()
        .route("/heartbeats", get(roll_call))
        .with_state(roster)
        .merge(proxied)
        .fallback(|| async { Error::UnknownPath })
        .method_not_allowed_fallback(|| async { Error::WrongMethod })
}
