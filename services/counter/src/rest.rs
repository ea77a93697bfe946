//! The REST route: `GET /increase/{n}`.

use axum::extract::Path;
use axum::extract::rejection::PathRejection;
use axum::routing::get;
use axum::{Json, Router};
use serde::Serialize;

use crate::error::Error;
use crate::number::increase;

#[derive(Debug, Serialize)]
struct Answer {
    num: i32,
}

pub fn router() -> Router {
    Router::new()
        .route("/increase/{n}", get(next))
        .route("/increase/{n}/", get(next))
        .fallback(|| async { Error::UnknownPath })
        .method_not_allowed_fallback(|| async { Error::WrongMethod })
}

/// An empty number is none: `/increase//` is an unknown path.
async fn next(num: Result<Path<String>, PathRejection>) -> Result<Json<Answer>, Error> {
    let Path(num) = num.map_err(|_| Error::NoNumber)?;
    if num.is_empty() {
        return Err(Error::UnknownPath);
    }
    let num = num.parse().map_err(|_| Error::NoNumber)?;
    let num = increase(num)?;
    Ok(Json(Answer { num }))
}
