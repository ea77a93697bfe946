//! `GET /heartbeats`.

use std::time::Duration;

use axum::http::StatusCode;
use jiff::Timestamp;
use serde_json::json;
use vitalmesh_edge::Beat;

use crate::fixture::{Edge, Leaves};

#[tokio::test]
async fn heartbeats_lists_expected_services_and_those_with_a_beat() {
    let edge = Edge::with_leaves(Leaves::default()).await;
    let beat = Beat {
        service: "bookstore".to_owned(),
        instance: "one".to_owned(),
        version: String::new(),
        started_at: Some("2026-11-21T12:00:00Z".parse().unwrap()),
        interval: Some(Duration::from_millis(2500)),
        sequence: 1,
        vital_signs: None,
        received_at: Timestamp::UNIX_EPOCH,
    };
    edge.store.beat(beat).await.unwrap();

    let before = Timestamp::now().as_second();
    let response = edge.get("/heartbeats").await;

    assert_eq!(response.status, StatusCode::OK);
    let mut body = response.json();
    let age = body["services"][0]["age_seconds"].take().as_f64().unwrap();
    assert!((0.0..60.0).contains(&(age - before as f64)), "{age}");
    let expected = json!({"services": [
        {
            "service": "bookstore", "instance": "one", "version": null,
            "last_seen": "1970-01-01T00:00:00Z", "age_seconds": null, "interval_seconds": 2.5,
            "started_at": "2026-11-21T12:00:00Z", "beats": 1, "late": true,
        },
        {
            "service": "time", "instance": null, "version": null,
            "last_seen": null, "age_seconds": null, "interval_seconds": 10.0,
            "started_at": null, "beats": 0, "late": false,
        },
    ]});
    assert_eq!(body, expected);
}
