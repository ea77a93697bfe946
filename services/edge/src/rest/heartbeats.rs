//! `GET /heartbeats`: the services and their instances, their last heartbeats, and which are late.

use axum::Json;
use axum::extract::State;
use jiff::Timestamp;
use serde::Serialize;

use crate::roster::{Instance, Member, Roster};

#[derive(Debug, Serialize)]
pub(crate) struct HeartbeatList {
    services: Vec<ServiceHeartbeat>,
}

/// A service: what its newest instance sent, and all instances that are not forgotten. Values that
/// were not sent are null.
#[derive(Debug, Serialize)]
struct ServiceHeartbeat {
    service: String,
    instance: Option<String>,
    version: Option<String>,
    last_seen: Option<String>,
    age_seconds: Option<f64>,
    /// The longest of the instances.
    interval_seconds: f64,
    started_at: Option<String>,
    beats: i64,
    /// Whether every instance is late.
    late: bool,
    /// How many instances are not late.
    live_instances: usize,
    instances: Vec<InstanceHeartbeat>,
}

#[derive(Debug, Serialize)]
struct InstanceHeartbeat {
    instance: Option<String>,
    version: Option<String>,
    last_seen: String,
    age_seconds: f64,
    interval_seconds: f64,
    started_at: Option<String>,
    beats: i64,
    late: bool,
}

pub(crate) async fn list(State(roster): State<Roster>) -> Json<HeartbeatList> {
    let now = Timestamp::now();
    let members = roster.members(now).into_iter();
    let services = members.map(|member| ServiceHeartbeat::new(member, now));
    Json(HeartbeatList {
        services: services.collect(),
    })
}

// === impl ServiceHeartbeat ===

impl ServiceHeartbeat {
    fn new(member: Member, now: Timestamp) -> Self {
        let newest = member.newest();
        let last = newest.map(|instance| InstanceHeartbeat::new(instance, now));
        let instances = member.instances.iter();
        Self {
            interval_seconds: member.interval().as_secs_f64(),
            late: member.is_late(now),
            live_instances: instances.clone().filter(|it| !it.is_late(now)).count(),
            instances: instances
                .map(|it| InstanceHeartbeat::new(it, now))
                .collect(),
            beats: member.beats,
            last_seen: last.as_ref().map(|last| last.last_seen.clone()),
            age_seconds: last.as_ref().map(|last| last.age_seconds),
            instance: last.as_ref().and_then(|last| last.instance.clone()),
            version: last.as_ref().and_then(|last| last.version.clone()),
            started_at: last.and_then(|last| last.started_at),
            service: member.service,
        }
    }
}

// === impl InstanceHeartbeat ===

impl InstanceHeartbeat {
    fn new(instance: &Instance, now: Timestamp) -> Self {
        let last = &instance.last_beat;
        Self {
            instance: non_empty(&last.instance),
            version: non_empty(&last.version),
            last_seen: last.last_seen.to_string(),
            age_seconds: instance.age(now).as_secs_f64(),
            interval_seconds: instance.interval.as_secs_f64(),
            started_at: last.started_at.map(|at| at.to_string()),
            beats: last.beats,
            late: instance.is_late(now),
        }
    }
}

fn non_empty(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}
