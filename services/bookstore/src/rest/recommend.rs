//! `GET /{n}`: recommendations as lines, as they come from the gRPC stream.

use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderValue;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;
use vitalmesh_proto::bookstore::v1;

use super::document::Problem;
use super::error::Error;
use super::input::{Asked, Count, User};
use super::rows::{Framing, Rows};
use super::upstream::{Channel, Upstream};

/// One line.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct Recommendation {
    /// Counts from 1.
    id: i32,
    title: String,
}

/// Recommend n books, one JSON object a line.
///
/// No more is made than is read. Where the stream fails, its last line is an object with the one
/// field `error`, a problem document, and the transfer is cut: a short answer never looks whole.
#[utoipa::path(
    get, path = "/{n}", tag = "recommendations",
    params(
        ("n" = i32, Path, description = "How many", minimum = 1, maximum = 10_000_000),
        User,
    ),
    responses(
        (status = 200, description = "The recommendations, line by line", body = Recommendation,
         content_type = "application/x-ndjson"),
        (status = 400, description = "n or user_id is not a number in its range",
         body = Problem, content_type = "application/problem+json"),
        (status = 429, description = "Too many streams are open",
         body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn recommend<C: Channel>(
    State(upstream): State<Upstream<C>>,
    Count(max_results): Count,
    Asked(User { user_id }): Asked<User>,
) -> Result<Response, Error> {
    let mut download = upstream.download()?;
    let request = v1::RecommendBooksRequest {
        user_id,
        max_results,
    };
    let stream = download.client.recommend_books(request).await?.into_inner();
    let rows = Rows::new(stream, Framing::LINES, Recommendation::from, download.place);
    let ndjson = HeaderValue::from_static("application/x-ndjson");
    Ok(([(CONTENT_TYPE, ndjson)], Body::new(rows)).into_response())
}

// === impl Recommendation ===

impl From<v1::Recommendation> for Recommendation {
    fn from(recommendation: v1::Recommendation) -> Self {
        Self {
            id: recommendation.id,
            title: recommendation.title,
        }
    }
}
