//! `GET /{n}`: recommendations as lines, streamed from the gRPC call.

use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderValue;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;
use vitalmesh_chassis::{AnyChannel, Problem};
use vitalmesh_proto::bookstore::v1;

use super::error::Error;
use super::input::{Count, QueryParams, User};
use super::rows::{RowFormat, Rows};
use super::upstream::Upstream;

/// A recommended book: one line of the response.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct Recommendation {
    /// Counts from 1.
    id: i32,
    title: String,
}

/// Recommend n books, one JSON object per line.
///
/// Recommendations are produced as fast as they are read. Where the stream fails, its last line is
/// an object with one field, `error`, a problem document, and the transfer is aborted: a truncated
/// response never looks complete.
#[utoipa::path(
    get, path = "/{n}", tag = "recommendations",
    params(
        ("n" = i32, Path, description = "How many", minimum = 1, maximum = 10_000_000),
        User,
    ),
    responses(
        (status = 200, description = "The recommendations, one per line", body = Recommendation,
         content_type = "application/x-ndjson"),
        (status = 400, description = "n or user_id is not a number in its range",
         body = Problem, content_type = "application/problem+json"),
        (status = 429, description = "The limit of open streams is reached",
         body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn recommend<C: AnyChannel>(
    State(upstream): State<Upstream<C>>,
    Count(max_results): Count,
    QueryParams(User { user_id }): QueryParams<User>,
) -> Result<Response, Error> {
    let mut download = upstream.download()?;
    let request = v1::RecommendBooksRequest {
        user_id,
        max_results,
    };
    let stream = download.client.recommend_books(request).await?.into_inner();
    let rows = Rows::new(
        stream,
        RowFormat::LINES,
        Recommendation::from,
        download.permit,
    );
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
