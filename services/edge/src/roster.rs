//! The roster: who is expected to beat, who was seen, who is late.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use jiff::{SignedDuration, Timestamp};
use prometheus::Registry;
use serde::Serialize;

use crate::metrics::Heartbeat;
use crate::store::{ServiceStatus, Store};

/// Of a service that names none.
const DEFAULT_INTERVAL: Duration = Duration::from_secs(10);
const INTERVALS_UNTIL_LATE: u32 = 3;

/// The services expected and the services seen; clones share the store.
#[derive(Clone, Debug)]
pub struct Roster {
    store: Store,
    expected: Arc<[(String, Duration)]>,
    since: Timestamp,
}

#[derive(Debug, PartialEq)]
pub(crate) struct Member {
    pub(crate) service: String,
    pub(crate) interval: Duration,
    pub(crate) seen: Option<ServiceStatus>,
}

#[derive(Debug, Serialize)]
pub(crate) struct RollCall {
    services: Vec<Line>,
}

#[derive(Debug, Serialize)]
struct Line {
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

// === impl Roster ===

impl Roster {
    /// `expected` names the services that are late when they never beat, and their intervals.
    pub fn new(store: Store, expected: &[(&str, Duration)]) -> Self {
        Self {
            store,
            expected: expected
                .iter()
                .map(|(service, interval)| ((*service).to_owned(), *interval))
                .collect(),
            since: Timestamp::now(),
        }
    }

    /// Adds the `mesh_heartbeat*` metrics of every member to `registry`.
    pub fn register(&self, registry: &Registry) -> prometheus::Result<()> {
        registry.register(Box::new(Heartbeat::new(self.clone())?))
    }

    /// Sorted by service.
    pub(crate) fn members(&self) -> Vec<Member> {
        let unseen = |(service, interval): &(String, Duration)| Member {
            service: service.clone(),
            interval: *interval,
            seen: None,
        };
        let mut members: BTreeMap<_, _> = self
            .expected
            .iter()
            .map(|expected| (expected.0.clone(), unseen(expected)))
            .collect();
        for status in self.store.services() {
            let member = members
                .entry(status.service.clone())
                .or_insert_with(|| unseen(&(status.service.clone(), DEFAULT_INTERVAL)));
            member.interval = status.interval.unwrap_or(member.interval);
            member.seen = Some(status);
        }
        members.into_values().collect()
    }

    fn roll_call(&self, now: Timestamp) -> RollCall {
        let line = |member: Member| Line::new(member, self.since, now);
        let services = self.members().into_iter().map(line).collect();
        RollCall { services }
    }
}

pub(crate) async fn roll_call(State(roster): State<Roster>) -> Json<RollCall> {
    Json(roster.roll_call(Timestamp::now()))
}

// === impl Member ===

impl Member {
    /// A member that was never seen has its time from `since` on.
    fn is_late(&self, since: Timestamp, now: Timestamp) -> bool {
        let last_seen = self.seen.as_ref().map_or(since, |status| status.last_seen);
        let allowed = self.interval.saturating_mul(INTERVALS_UNTIL_LATE);
        age(last_seen, now) > allowed
    }
}

// === impl Line ===

impl Line {
    fn new(member: Member, since: Timestamp, now: Timestamp) -> Self {
        let late = member.is_late(since, now);
        let seen = member.seen.as_ref();
        Self {
            instance: seen.and_then(|status| told(&status.instance)),
            version: seen.and_then(|status| told(&status.version)),
            last_seen: seen.map(|status| status.last_seen.to_string()),
            age_seconds: seen.map(|status| age(status.last_seen, now).as_secs_f64()),
            interval_seconds: member.interval.as_secs_f64(),
            started_at: seen.and_then(|status| Some(status.started_at?.to_string())),
            beats: seen.map_or(0, |status| status.beats),
            late,
            service: member.service,
        }
    }
}

fn told(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

/// Zero when the clock went back.
fn age(last_seen: Timestamp, now: Timestamp) -> Duration {
    let age: SignedDuration = now.duration_since(last_seen);
    age.try_into().unwrap_or(Duration::ZERO)
}
