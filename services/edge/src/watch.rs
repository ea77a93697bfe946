//! Logs what changes in the roster: instances that are new, late, back or forgotten.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;

use crate::deadline::is_late;
use crate::roster::{Member, Roster};

const PERIOD: Duration = Duration::from_secs(1);

/// Whether each instance is late. An expected service without a beat has `None` for an instance.
type Lateness = BTreeMap<(String, Option<String>), bool>;

/// What is logged of an instance. Its end after `None` is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    First,
    Late,
    Back,
    Forgotten,
}

/// Logs the changes of each second, until it is dropped.
pub(crate) async fn watch(roster: Roster) {
    let started_at = Timestamp::now();
    let lateness = |now| lateness(&roster.members(now), started_at, now);
    let mut before = lateness(started_at);
    loop {
        tokio::time::sleep(PERIOD).await;
        let after = lateness(Timestamp::now());
        for (service, instance, change) in changes(&before, &after) {
            change.log(service, instance);
        }
        before = after;
    }
}

/// Counts from `started_at` where the last beat is older: the edge may have been down.
fn lateness(members: &[Member], started_at: Timestamp, now: Timestamp) -> Lateness {
    let mut lateness = Lateness::new();
    for member in members {
        for instance in &member.instances {
            let since = instance.last_beat.last_seen.max(started_at);
            let key = (
                member.service.clone(),
                Some(instance.last_beat.instance.clone()),
            );
            lateness.insert(key, is_late(since, instance.interval, now));
        }
        if member.instances.is_empty() {
            lateness.insert((member.service.clone(), None), member.is_late(now));
        }
    }
    lateness
}

fn changes<'a>(
    before: &'a Lateness,
    after: &'a Lateness,
) -> impl Iterator<Item = (&'a str, Option<&'a str>, Change)> {
    let known = after.iter().filter_map(|(key, late)| {
        let change = match (before.get(key), late) {
            (Some(false) | None, true) => Change::Late,
            (Some(true), false) => Change::Back,
            (None, false) if key.1.is_some() => Change::First,
            _ => return None,
        };
        Some((key, change))
    });
    let is_gone = |key: &&(String, Option<String>)| key.1.is_some() && !after.contains_key(*key);
    let gone = before.keys().filter(is_gone);
    let changes = known.chain(gone.map(|key| (key, Change::Forgotten)));
    changes.map(|((service, instance), change)| (service.as_str(), instance.as_deref(), change))
}

// === impl Change ===

impl Change {
    fn log(self, sender: &str, instance: Option<&str>) {
        match self {
            Self::First => tracing::info!(sender, instance, "first heartbeat of an instance"),
            Self::Late => tracing::warn!(sender, instance, "no heartbeat for three intervals"),
            Self::Back => tracing::info!(sender, instance, "heartbeats are back"),
            Self::Forgotten => tracing::info!(sender, instance, "silent instance forgotten"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(states: &[(&str, Option<&str>, bool)]) -> Lateness {
        let states = states.iter();
        states
            .map(|(service, instance, late)| {
                let key = ((*service).to_owned(), instance.map(str::to_owned));
                (key, *late)
            })
            .collect()
    }

    #[test]
    fn an_instance_is_logged_when_it_is_new_late_back_or_forgotten() {
        let (a, b) = (Some("a"), Some("b"));
        let steps = [
            (of(&[("time", None, false)]), vec![]),
            (
                of(&[("time", None, true)]),
                vec![("time", None, Change::Late)],
            ),
            (of(&[("time", None, true)]), vec![]),
            (of(&[("time", a, false)]), vec![("time", a, Change::First)]),
            (
                of(&[("time", a, false), ("time", b, true)]),
                vec![("time", b, Change::Late)],
            ),
            (
                of(&[("time", a, true), ("time", b, false)]),
                vec![("time", a, Change::Late), ("time", b, Change::Back)],
            ),
            (
                of(&[("time", b, false)]),
                vec![("time", a, Change::Forgotten)],
            ),
            (of(&[("time", b, false)]), vec![]),
        ];
        let mut before = Lateness::new();
        for (after, expected) in steps {
            assert_eq!(changes(&before, &after).collect::<Vec<_>>(), expected);
            before = after;
        }
    }
}
