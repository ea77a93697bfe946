//! The metrics of heartbeats, collected from the roster at each scrape.

use std::collections::HashMap;

use jiff::Timestamp;
use prometheus::core::{Collector, Desc};
use prometheus::proto::{Counter, Gauge, LabelPair, Metric, MetricFamily, MetricType};

use crate::roster::{Instance, Member, Roster};

/// Prometheus itself sets `instance`: to that of the edge.
const LABELS: [&str; 2] = ["service", "service_instance"];

/// Collects the roster's members. Not a vector of `prometheus`, which finds its series by a hash
/// alone: two services could share one.
#[derive(Debug)]
pub(crate) struct HeartbeatCollector {
    roster: Roster,
    received: Desc,
    last_seen: Desc,
    expected_interval: Desc,
}

// === impl HeartbeatCollector ===

impl HeartbeatCollector {
    pub(crate) fn new(roster: Roster) -> prometheus::Result<Self> {
        Ok(Self {
            roster,
            received: desc(
                "mesh_heartbeats_received_total",
                "Heartbeats received and acknowledged.",
            )?,
            last_seen: desc(
                "mesh_heartbeat_last_seen_timestamp_seconds",
                "When the last heartbeat was received, in seconds since 1970.",
            )?,
            expected_interval: desc(
                "mesh_heartbeat_expected_interval_seconds",
                "Longest time until the next heartbeat is expected.",
            )?,
        })
    }
}

impl Collector for HeartbeatCollector {
    fn desc(&self) -> Vec<&Desc> {
        vec![&self.received, &self.last_seen, &self.expected_interval]
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let members = self.roster.members(Timestamp::now());
        vec![
            family(&self.received, MetricType::COUNTER, &members, received),
            family(&self.last_seen, MetricType::GAUGE, &members, last_seen),
            family(
                &self.expected_interval,
                MetricType::GAUGE,
                &members,
                interval,
            ),
        ]
    }
}

fn desc(name: &str, help: &str) -> prometheus::Result<Desc> {
    let labels = LABELS.map(str::to_owned).to_vec();
    Desc::new(name.to_owned(), help.to_owned(), labels, HashMap::new())
}

fn received(_: &Member, instance: Option<&Instance>) -> Option<f64> {
    Some(instance.map_or(0, |instance| instance.last_beat.received) as f64)
}

fn last_seen(_: &Member, instance: Option<&Instance>) -> Option<f64> {
    Some(instance?.last_beat.last_seen.as_microsecond() as f64 / 1e6)
}

fn interval(member: &Member, instance: Option<&Instance>) -> Option<f64> {
    let interval = instance.map_or_else(|| member.interval(), |instance| instance.interval);
    Some(interval.as_secs_f64())
}

/// A family with a series for each instance, and for each expected service that has none, which has
/// an empty name.
fn family(
    desc: &Desc,
    kind: MetricType,
    members: &[Member],
    value: fn(&Member, Option<&Instance>) -> Option<f64>,
) -> MetricFamily {
    let mut metrics = Vec::new();
    for member in members {
        let none = member.instances.is_empty().then_some(None);
        for instance in member.instances.iter().map(Some).chain(none) {
            let name = instance.map_or("", |instance| &instance.last_beat.instance);
            let value = value(member, instance);
            metrics.extend(value.map(|value| metric(kind, [&member.service, name], value)));
        }
    }
    let mut family = MetricFamily::default();
    family.set_name(desc.fq_name.clone());
    family.set_help(desc.help.clone());
    family.set_field_type(kind);
    family.set_metric(metrics);
    family
}

fn metric(kind: MetricType, values: [&str; 2], value: f64) -> Metric {
    let labels = LABELS.into_iter().zip(values).map(|(name, value)| {
        let mut label = LabelPair::default();
        label.set_name(name.to_owned());
        label.set_value(value.to_owned());
        label
    });
    let mut metric = Metric::from_label(labels.collect());
    if kind == MetricType::COUNTER {
        let mut counter = Counter::default();
        counter.set_value(value);
        metric.set_counter(counter);
    } else {
        let mut gauge = Gauge::default();
        gauge.set_value(value);
        metric.set_gauge(gauge);
    }
    metric
}
