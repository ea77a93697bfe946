//! `GET /heartbeats`: the last heartbeat of each service, and which services are late.

use axum::Json;
use axum::extract::State;
use jiff::Timestamp;
use serde::Serialize;

use crate::roster::{Member, Roster};

#[derive(Debug, Serialize)]
pub(crate) struct HeartbeatList {
    services: Vec<ServiceHeartbeat>,
}

/// The last heartbeat of one service. Values that it did not send are null.
#[derive(Debug, Serialize)]
struct ServiceHeartbeat {
    service: String,
    instance: Option<String>,
    version: Option<String>,
    last_seen: Option<String>,
    age_seconds: Option<f64>,
    interval_seconds: f64,
    started_at: Option<String>,
    beats: i64,
    late: bool,
}

pub(crate) async fn list(State(roster): State<Roster>) -> Json<HeartbeatList> {
    let now = Timestamp::now();
    let members = roster.members().into_iter();
    let services = members.map(|member| ServiceHeartbeat::new(member, now));
    Json(HeartbeatList {
        services: services.collect(),
    })
}

// === impl ServiceHeartbeat ===

impl ServiceHeartbeat {
    fn new(member: Member, now: Timestamp) -> Self {
        let last = member.last_beat.as_ref();
        Self {
            instance: last.and_then(|status| non_empty(&status.instance)),
            version: last.and_then(|status| non_empty(&status.version)),
            last_seen: last.map(|status| status.last_seen.to_string()),
            age_seconds: member.age(now).map(|age| age.as_secs_f64()),
            interval_seconds: member.interval.as_secs_f64(),
            started_at: last.and_then(|status| Some(status.started_at?.to_string())),
            beats: last.map_or(0, |status| status.beats),
            late: member.is_late(now),
            service: member.service,
        }
    }
}

fn non_empty(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}
