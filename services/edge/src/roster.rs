//! The roster: the services that are expected to beat and those that have, with their instances, each
//! with its deadline.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use prometheus::Registry;

use crate::deadline::{DEFAULT_INTERVAL, elapsed, is_late};
use crate::metrics::HeartbeatCollector;
use crate::store::{InstanceStatus, ServiceStatus, Store};

/// The services that are expected and those in the store; clones share the store.
#[derive(Clone, Debug)]
pub struct Roster {
    store: Store,
    expected: Arc<[(String, Duration)]>,
    started_at: Timestamp,
}

/// A service.
#[derive(Debug, PartialEq)]
pub(crate) struct Member {
    pub(crate) service: String,
    /// Beats stored since its first one.
    pub(crate) beats: i64,
    /// Those that are not forgotten, by their names. None for an expected service without a beat.
    pub(crate) instances: Vec<Instance>,
    /// Without a beat: the interval at which it is expected, and since when.
    expected: (Duration, Timestamp),
}

/// An instance of a service.
#[derive(Debug, PartialEq)]
pub(crate) struct Instance {
    pub(crate) interval: Duration,
    pub(crate) last_beat: InstanceStatus,
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
    pub(crate) fn members(&self, now: Timestamp) -> Vec<Member> {
        let without_beat = |service: &str, interval| Member {
            service: service.to_owned(),
            beats: 0,
            instances: Vec::new(),
            expected: (interval, self.started_at),
        };
        let expected = self.expected.iter();
        let mut members: BTreeMap<_, _> = expected
            .map(|(service, interval)| (service.clone(), without_beat(service, *interval)))
            .collect();
        for status in self.store.services() {
            let member = members
                .entry(status.service.clone())
                .or_insert_with(|| without_beat(&status.service, DEFAULT_INTERVAL));
            member.record(&status, self.store.forget_after(), now);
        }
        members.into_values().collect()
    }
}

// === impl Member ===

impl Member {
    fn record(&mut self, status: &ServiceStatus, forget_after: Duration, now: Timestamp) {
        let (interval, _) = self.expected;
        let instance = |last_beat: &InstanceStatus| Instance {
            interval: last_beat.interval.unwrap_or(interval),
            last_beat: last_beat.clone(),
        };
        self.beats = status.beats;
        self.instances = status.remembered(forget_after, now).map(instance).collect();
    }

    /// The longest interval of its instances. It does not change with the one that beats last.
    pub(crate) fn interval(&self) -> Duration {
        let intervals = self.instances.iter().map(|instance| instance.interval);
        intervals.max().unwrap_or(self.expected.0)
    }

    /// The instance that has beaten last.
    pub(crate) fn newest(&self) -> Option<&Instance> {
        let instances = self.instances.iter();
        instances.max_by_key(|instance| instance.last_beat.last_seen)
    }

    /// Whether all its instances are late.
    pub(crate) fn is_late(&self, now: Timestamp) -> bool {
        match &self.instances[..] {
            [] => is_late(self.expected.1, self.expected.0, now),
            instances => instances.iter().all(|instance| instance.is_late(now)),
        }
    }
}

// === impl Instance ===

impl Instance {
    pub(crate) fn is_late(&self, now: Timestamp) -> bool {
        is_late(self.last_beat.last_seen, self.interval, now)
    }

    /// The time since the last beat.
    pub(crate) fn age(&self, now: Timestamp) -> Duration {
        elapsed(self.last_beat.last_seen, now)
    }
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;
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
            .members(now)
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

    /// The instances of `time`, with whether each is late.
    fn instances(roster: &Roster, seconds: i64) -> Vec<(String, bool)> {
        let now = after_start(seconds);
        let members = roster.members(now);
        let time = members.iter().find(|member| member.service == "time");
        let instances = time.unwrap().instances.iter();
        instances
            .map(|instance| (instance.last_beat.instance.clone(), instance.is_late(now)))
            .collect()
    }

    fn of(instance: &str, seconds: i64, interval: u64) -> Beat {
        Beat {
            instance: instance.to_owned(),
            interval: Some(Duration::from_secs(interval)),
            ..beat("time", after_start(seconds))
        }
    }

    #[tokio::test]
    async fn an_instance_is_seen_late_and_forgotten_while_its_service_is_not_late() {
        let folder = tempfile::tempdir().unwrap();
        let roster = roster(&folder).await;
        let store = &roster.store;
        let named = |states: &[(&str, bool)]| -> Vec<(String, bool)> {
            let states = states.iter();
            states
                .map(|(name, late)| ((*name).to_owned(), *late))
                .collect()
        };
        store.beat(of("a", 100, 10)).await.unwrap();
        store.beat(of("b", 105, 10)).await.unwrap();
        assert_eq!(
            instances(&roster, 105),
            named(&[("a", false), ("b", false)])
        );
        // b is killed; a goes on.
        store.beat(of("a", 1000, 10)).await.unwrap();
        for (seconds, expected) in [
            (135, named(&[("a", false), ("b", false)])),
            (136, named(&[("a", false), ("b", true)])),
            // An hour after it became late.
            (3735, named(&[("a", true), ("b", true)])),
            (3736, named(&[("a", true)])),
        ] {
            assert_eq!(instances(&roster, seconds), expected, "{seconds}");
        }
        assert_eq!(late(&roster, 1030), ["revert-name"]);
        assert_eq!(late(&roster, 1031), ["revert-name", "time"]);
        // The newest stays.
        assert_eq!(instances(&roster, 1_000_000), named(&[("a", true)]));
    }

    #[tokio::test]
    async fn a_services_interval_is_the_longest_of_its_instances_whichever_beats_last() {
        let folder = tempfile::tempdir().unwrap();
        let roster = roster(&folder).await;
        let interval = || roster.members(after_start(200))[1].interval().as_secs();
        assert_eq!(interval(), 10);
        for beat in [
            of("a", 100, 60),
            of("b", 101, 5),
            of("a", 102, 60),
            of("b", 103, 5),
        ] {
            roster.store.beat(beat).await.unwrap();
            assert_eq!(interval(), 60);
        }
        // Each has its own deadline.
        assert_eq!(
            instances(&roster, 119),
            [("a".to_owned(), false), ("b".to_owned(), true)]
        );
    }

    #[tokio::test]
    async fn a_long_interval_is_not_forgotten_before_it_is_late() {
        let folder = tempfile::tempdir().unwrap();
        let roster = roster(&folder).await;
        const DAY: i64 = 24 * 3600;
        roster.store.beat(of("daily", 0, 24 * 3600)).await.unwrap();
        roster.store.beat(of("often", 2 * DAY, 10)).await.unwrap();
        assert_eq!(
            instances(&roster, 2 * DAY),
            [("daily".to_owned(), false), ("often".to_owned(), false)]
        );
        roster
            .store
            .beat(of("often", 3 * DAY + 3601, 10))
            .await
            .unwrap();
        assert_eq!(instances(&roster, 3 * DAY + 3601).len(), 1);
    }

    #[tokio::test]
    async fn a_scrape_has_each_instance() {
        let folder = tempfile::tempdir().unwrap();
        let roster = roster(&folder).await;
        let now = Timestamp::now();
        for (instance, interval) in [("host:1", 10), ("host:2", 20), ("host:1", 10)] {
            let beat = Beat {
                received_at: now,
                ..of(instance, 0, interval)
            };
            roster.store.beat(beat).await.unwrap();
        }
        let page = scrape(&roster);
        for line in [
            "mesh_heartbeat_expected_interval_seconds{service=\"revert-name\",service_instance=\"\"} 20",
            "mesh_heartbeat_expected_interval_seconds{service=\"time\",service_instance=\"host:1\"} 10",
            "mesh_heartbeat_expected_interval_seconds{service=\"time\",service_instance=\"host:2\"} 20",
            "mesh_heartbeats_received_total{service=\"time\",service_instance=\"host:1\"} 2",
            "mesh_heartbeats_received_total{service=\"time\",service_instance=\"host:2\"} 1",
        ] {
            assert!(page.lines().any(|other| other == line), "{line}\n{page}");
        }
        let seen = "mesh_heartbeat_last_seen_timestamp_seconds{";
        assert_eq!(
            page.lines().filter(|line| line.starts_with(seen)).count(),
            2
        );
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
            let members = roster.members(now);
            let ages = members.iter().map(|member| Some(member.newest()?.age(now)));
            ages.collect::<Vec<_>>()
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
                    mesh_heartbeat_last_seen_timestamp_seconds{service=\"time\",service_instance=\"\"} 1795262401\n";
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
            "# HELP mesh_heartbeat_expected_interval_seconds Longest time until the next heartbeat is expected.\n\
             # TYPE mesh_heartbeat_expected_interval_seconds gauge\n\
             mesh_heartbeat_expected_interval_seconds{{service=\"revert-name\",service_instance=\"\"}} 20\n\
             mesh_heartbeat_expected_interval_seconds{{service=\"time\",service_instance=\"\"}} 10\n\
             {last_seen}\
             # HELP mesh_heartbeats_received_total Heartbeats received and acknowledged.\n\
             # TYPE mesh_heartbeats_received_total counter\n\
             mesh_heartbeats_received_total{{service=\"revert-name\",service_instance=\"\"}} {revert_name}\n\
             mesh_heartbeats_received_total{{service=\"time\",service_instance=\"\"}} {time}\n"
        )
    }
}
