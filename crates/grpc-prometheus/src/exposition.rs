//! The text of a scrape.

use prometheus::{Registry, TextEncoder};

/// The whole registry as a scrape answers it: content type and body.
pub fn encode(registry: &Registry, accept: Option<&str>) -> (&'static str, String) {
    let _ = accept;
    let text = TextEncoder::new().encode_to_string(&registry.gather());
    (
        "text/plain; version=0.0.4; charset=utf-8",
        text.unwrap_or_default(),
    )
}
