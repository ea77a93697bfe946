//! The roster: the services that are expected to beat and those that have, each with its deadline.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use prometheus::Registry;

use crate::metrics::HeartbeatCollector;
use crate::store::{ServiceStatus, Store};

/// The interval of a service that is not expected and sends none.
pub(crate) const DEFAULT_INTERVAL: Duration = Duration::from_secs(10);
/// A service is late this many intervals after its last beat.
const INTERVALS_UNTIL_LATE: u32 = 3;

/// The services that are expected and those in the store; clones share the store.
#[derive(Clone, Debug)]
pub struct Roster {
    store: Store,
    expected: Arc<[(String, Duration)]>,
    started_at: Timestamp,
}

#[derive(Debug, PartialEq)]
pub(crate) struct Member {
    pub(crate) service: String,
    pub(crate) interval: Duration,
    /// None for an expected service without a beat.
    pub(crate) last_beat: Option<ServiceStatus>,
    /// When its intervals began to count: at its last beat, or at the roster's start.
    due_since: Timestamp,
}

// === impl Roster ===

impl Roster {
    /// `expected` are the services that are late also where they never beat, and their intervals.
    pub fn new(store: Store, expected: &[(&str, Duration)]) -> Self {
        Self {
            store,
            expected: expected
                .iter()
                .map(|(service, interval)| ((*service).to_owned(), *interval))
                .collect(),
            started_at: Timestamp::now(),
        }
    }

    /// Registers the `mesh_heartbeat*` metrics of every member.
    pub fn register(&self, registry: &Registry) -> prometheus::Result<()> {
        registry.register(Box::new(HeartbeatCollector::new(self.clone())?))
    }

    /// Sorted by service.
    pub(crate) fn members(&self) -> Vec<Member> {
        let without_beat = |service: &str, interval| Member {
            service: service.to_owned(),
            interval,
            last_beat: None,
            due_since: self.started_at,
        };
        let expected = self.expected.iter();
        let mut members: BTreeMap<_, _> = expected
            .map(|(service, interval)| (service.clone(), without_beat(service, *interval)))
            .collect();
        for status in self.store.services() {
            let member = members
                .entry(status.service.clone())
                .or_insert_with(|| without_beat(&status.service, DEFAULT_INTERVAL));
            member.interval = status.interval.unwrap_or(member.interval);
            member.due_since = status.last_seen;
            member.last_beat = Some(status);
        }
        members.into_values().collect()
    }
}

// === impl Member ===

impl Member {
    pub(crate) fn is_late(&self, now: Timestamp) -> bool {
        elapsed(self.due_since, now) > self.interval.saturating_mul(INTERVALS_UNTIL_LATE)
    }

    /// The time since the last beat.
    pub(crate) fn age(&self, now: Timestamp) -> Option<Duration> {
        let last_beat = self.last_beat.as_ref()?;
        Some(elapsed(last_beat.last_seen, now))
    }
}

/// Zero where the clock was set back.
fn elapsed(since: Timestamp, now: Timestamp) -> Duration {
    let elapsed: SignedDuration = now.duration_since(since);
    elapsed.try_into().unwrap_or(Duration::ZERO)
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
        let started_at = after_start(0);
        Roster {
            started_at,
            ..Roster::new(store, &EXPECTED)
        }
    }

    fn late(roster: &Roster, seconds: i64) -> Vec<String> {
        let now = after_start(seconds);
        let late = roster
            .members()
            .into_iter()
            .filter(|member| member.is_late(now));
        late.map(|member| member.service).collect()
    }

    #[tokio::test]
    async fn a_service_without_a_beat_is_late_three_intervals_after_the_start() {
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
        let ages = |now| {
            roster
                .members()
                .iter()
                .map(|member| member.age(now))
                .collect::<Vec<_>>()
        };
        assert_eq!(ages(after_start(5)), [None, Some(Duration::ZERO)]);
        assert_eq!(ages(after_start(10)), [None, Some(Duration::from_secs(1))]);
    }

    #[tokio::test]
    async fn a_scrape_has_expected_services_from_the_start_and_last_beats_after_a_restart() {
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
