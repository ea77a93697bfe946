//! The metrics of heartbeats, collected from the roster at each scrape.

use std::collections::HashMap;

use prometheus::core::{Collector, Desc};
use prometheus::proto::{Counter, Gauge, LabelPair, Metric, MetricFamily, MetricType};

use crate::roster::{Member, Roster};

const LABEL: &str = "service";

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
                "How long until the next heartbeat is expected.",
            )?,
        })
    }
}

impl Collector for HeartbeatCollector {
    fn desc(&self) -> Vec<&Desc> {
        vec![&self.received, &self.last_seen, &self.expected_interval]
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let members = self.roster.members();
        vec![
            counters(&self.received, &members, received),
            gauges(&self.last_seen, &members, last_seen),
            gauges(&self.expected_interval, &members, |member| {
                Some(member.interval.as_secs_f64())
            }),
        ]
    }
}

fn desc(name: &str, help: &str) -> prometheus::Result<Desc> {
    Desc::new(
        name.to_owned(),
        help.to_owned(),
        vec![LABEL.to_owned()],
        HashMap::new(),
    )
}

fn received(member: &Member) -> f64 {
    member
        .last_beat
        .as_ref()
        .map_or(0, |status| status.received) as f64
}

fn last_seen(member: &Member) -> Option<f64> {
    let last_seen = member.last_beat.as_ref()?.last_seen;
    Some(last_seen.as_microsecond() as f64 / 1e6)
}

fn counters(desc: &Desc, members: &[Member], value: fn(&Member) -> f64) -> MetricFamily {
    let metrics = members.iter().map(|member| {
        let mut counter = Counter::default();
        counter.set_value(value(member));
        let mut metric = Metric::from_label(vec![label(member)]);
        metric.set_counter(counter);
        metric
    });
    family(desc, MetricType::COUNTER, metrics.collect())
}

fn gauges(desc: &Desc, members: &[Member], value: fn(&Member) -> Option<f64>) -> MetricFamily {
    let metrics = members.iter().filter_map(|member| {
        let mut gauge = Gauge::default();
        gauge.set_value(value(member)?);
        let mut metric = Metric::from_label(vec![label(member)]);
        metric.set_gauge(gauge);
        Some(metric)
    });
    family(desc, MetricType::GAUGE, metrics.collect())
}

fn label(member: &Member) -> LabelPair {
    let mut label = LabelPair::default();
    label.set_name(LABEL.to_owned());
    label.set_value(member.service.clone());
    label
}

fn family(desc: &Desc, kind: MetricType, metrics: Vec<Metric>) -> MetricFamily {
    let mut family = MetricFamily::default();
    family.set_name(desc.fq_name.clone());
    family.set_help(desc.help.clone());
    family.set_field_type(kind);
    family.set_metric(metrics);
    family
}
