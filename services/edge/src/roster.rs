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

/// The interval of a service that names none.
pub(crate) const DEFAULT_INTERVAL: Duration = Duration::from_secs(10);
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

#[cfg(test)]
mod tests {
    use prometheus::TextEncoder;
    use tempfile::TempDir;

    use super::*;
    use crate::store::{Beat, StoreSettings};

    const START: &str = "2026-11-21T12:00:00Z";
    const EXPECTED: [(&str, Duration); 2] = [
        ("time", Duration::from_secs(10)),
        ("revert-name", Duration::from_secs(20)),
    ];

    fn after_start(seconds: i64) -> Timestamp {
        START.parse::<Timestamp>().unwrap() + SignedDuration::from_secs(seconds)
    }

    fn beat(service: &str, received_at: Timestamp) -> Beat {
        Beat {
            service: service.to_owned(),
            instance: String::new(),
            version: String::new(),
            started_at: None,
            interval: None,
            sequence: 0,
            vital_signs: None,
            received_at,
        }
    }

    async fn roster(folder: &TempDir) -> Roster {
        let store = Store::open(folder.path(), StoreSettings::default())
            .await
            .unwrap();
        let since = after_start(0);
        Roster {
            since,
            ..Roster::new(store, &EXPECTED)
        }
    }

    fn late(roster: &Roster, seconds: i64) -> Vec<String> {
        let lines = roster.roll_call(after_start(seconds)).services;
        let late = lines.into_iter().filter(|line| line.late);
        late.map(|line| line.service).collect()
    }

    #[tokio::test]
    async fn a_service_never_seen_is_late_three_intervals_after_the_start() {
        let folder = tempfile::tempdir().unwrap();
        let roster = roster(&folder).await;
        assert_eq!(late(&roster, -5), Vec::<String>::new());
        assert_eq!(late(&roster, 30), Vec::<String>::new());
        assert_eq!(late(&roster, 31), ["time"]);
        assert_eq!(late(&roster, 60), ["time"]);
        assert_eq!(late(&roster, 61), ["revert-name", "time"]);
    }

    #[tokio::test]
    async fn a_service_is_late_after_three_of_its_own_intervals() {
        let folder = tempfile::tempdir().unwrap();
        let roster = roster(&folder).await;
        let store = &roster.store;
        store.beat(beat("time", after_start(100))).await.unwrap();
        store
            .beat(beat("unexpected", after_start(100)))
            .await
            .unwrap();
        let interval = Some(Duration::from_secs(60));
        let slow = Beat {
            interval,
            ..beat("revert-name", after_start(100))
        };
        store.beat(slow).await.unwrap();

        assert_eq!(late(&roster, 130), Vec::<String>::new());
        assert_eq!(late(&roster, 131), ["time", "unexpected"]);
        assert_eq!(late(&roster, 281), ["revert-name", "time", "unexpected"]);
        store.beat(beat("time", after_start(281))).await.unwrap();
        assert_eq!(late(&roster, 281), ["revert-name", "unexpected"]);
    }

    #[tokio::test]
    async fn an_age_is_never_negative() {
        let folder = tempfile::tempdir().unwrap();
        let roster = roster(&folder).await;
        roster
            .store
            .beat(beat("time", after_start(9)))
            .await
            .unwrap();
        let ages = |now| roster.roll_call(now).services.remove(1).age_seconds;
        assert_eq!(ages(after_start(5)), Some(0.0));
        assert_eq!(ages(after_start(10)), Some(1.0));
    }

    #[tokio::test]
    async fn a_scrape_has_the_expected_from_the_start_and_the_seen_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let roster = roster(&folder).await;
        assert_eq!(scrape(&roster), exposition("", ["0", "0"]));

        roster
            .store
            .beat(beat("time", after_start(0)))
            .await
            .unwrap();
        roster
            .store
            .beat(beat("time", after_start(1)))
            .await
            .unwrap();
        let seen = "# HELP mesh_heartbeat_last_seen_timestamp_seconds When the last heartbeat was received, in seconds since 1970.\n\
                    # TYPE mesh_heartbeat_last_seen_timestamp_seconds gauge\n\
                    mesh_heartbeat_last_seen_timestamp_seconds{service=\"time\"} 1795262401\n";
        assert_eq!(scrape(&roster), exposition(seen, ["0", "2"]));

        roster.store.close().await;
        let restarted = self::roster(&folder).await;
        assert_eq!(scrape(&restarted), exposition(seen, ["0", "0"]));
    }

    fn scrape(roster: &Roster) -> String {
        let registry = Registry::new();
        roster.register(&registry).unwrap();
        TextEncoder::new()
            .encode_to_string(&registry.gather())
            .unwrap()
    }

    fn exposition(last_seen: &str, received: [&str; 2]) -> String {
        let [revert_name, time] = received;
        format!(
            "# HELP mesh_heartbeat_expected_interval_seconds How long until the next heartbeat is expected.\n\
             # TYPE mesh_heartbeat_expected_interval_seconds gauge\n\
             mesh_heartbeat_expected_interval_seconds{{service=\"revert-name\"}} 20\n\
             mesh_heartbeat_expected_interval_seconds{{service=\"time\"}} 10\n\
             {last_seen}\
             # HELP mesh_heartbeats_received_total Heartbeats received and acknowledged.\n\
             # TYPE mesh_heartbeats_received_total counter\n\
             mesh_heartbeats_received_total{{service=\"revert-name\"}} {revert_name}\n\
             mesh_heartbeats_received_total{{service=\"time\"}} {time}\n"
        )
    }
}
