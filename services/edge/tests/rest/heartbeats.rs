//! `GET /heartbeats`.

use std::time::Duration;

use axum::http::StatusCode;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use vitalmesh_edge::Beat;

use crate::fixture::{Edge, Leaves};

#[tokio::test]
async fn heartbeats_lists_expected_services_and_those_with_a_beat_with_each_instance() {
    let edge = Edge::with_leaves(Leaves::default()).await;
    let beat = |instance: &str, seconds: i64| Beat {
        service: "bookstore".to_owned(),
        instance: instance.to_owned(),
        version: String::new(),
        started_at: Some("2026-11-21T12:00:00Z".parse().unwrap()),
        interval: Some(Duration::from_millis(2500)),
        sequence: 1,
        vital_signs: None,
        received_at: Timestamp::now() - SignedDuration::from_secs(seconds),
    };
    let (late, live) = (beat("one:50054", 60), beat("", 0));
    let (late_at, live_at) = (late.received_at.to_string(), live.received_at.to_string());
    edge.store.beat(live).await.unwrap();
    edge.store.beat(late).await.unwrap();

    let response = edge.get("/heartbeats").await;

    assert_eq!(response.status, StatusCode::OK);
    let mut body = response.json();
    let bookstore = &mut body["services"][0];
    let age = |of: &mut Value| of["age_seconds"].take().as_f64().unwrap();
    let ages = [
        age(bookstore),
        age(&mut bookstore["instances"][0]),
        age(&mut bookstore["instances"][1]),
    ];
    assert_eq!(ages[0], ages[1]);
    assert!((0.0..5.0).contains(&ages[0]), "{ages:?}");
    assert!((60.0..65.0).contains(&ages[2]), "{ages:?}");
    let expected = json!({"services": [
        {
            "service": "bookstore", "instance": null, "version": null,
            "last_seen": live_at, "age_seconds": null, "interval_seconds": 2.5,
            "started_at": "2026-11-21T12:00:00Z", "beats": 2, "late": false, "live_instances": 1,
            "instances": [
                {
                    "instance": null, "version": null, "last_seen": live_at, "age_seconds": null,
                    "interval_seconds": 2.5, "started_at": "2026-11-21T12:00:00Z", "beats": 1,
                    "late": false,
                },
                {
                    "instance": "one:50054", "version": null, "last_seen": late_at,
                    "age_seconds": null, "interval_seconds": 2.5,
                    "started_at": "2026-11-21T12:00:00Z", "beats": 1, "late": true,
                },
            ],
        },
        {
            "service": "time", "instance": null, "version": null,
            "last_seen": null, "age_seconds": null, "interval_seconds": 10.0,
            "started_at": null, "beats": 0, "late": false, "live_instances": 0, "instances": [],
        },
    ]});
    assert_eq!(body, expected);
}
