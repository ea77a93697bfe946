//! The icon of the REST and scrape ports, which browsers request beside each page.

use http::header::{CACHE_CONTROL, CONTENT_TYPE};

pub(crate) const PATH: &str = "/favicon.ico";

/// 32 x 32 pixels.
const ICON: &[u8] = include_bytes!("favicon.ico");

pub(crate) async fn icon() -> impl axum::response::IntoResponse {
    let headers = [
        (CONTENT_TYPE, "image/x-icon"),
        (CACHE_CONTROL, "public, max-age=86400"),
    ];
    (headers, ICON)
}
