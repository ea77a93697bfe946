//! The heartbeat: a task that tells the edge that this instance lives, and how it does.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use futures_util::FutureExt;
use grpc_prometheus::ServerMetrics;
use http::Uri;
use vitalmesh_proto::heartbeat::v1::BeatHeartRequest;
use vitalmesh_proto::heartbeat::v1::heartbeat_service_client::HeartbeatServiceClient;

use crate::callee::Callee;
use crate::channel::Channel;
use crate::config::service_url;
use crate::process;
use crate::tasks::{Schedule, ScheduleError, Task};
use crate::vitals::Vitals;

/// The service that heartbeats are sent to.
pub const EDGE: Callee = Callee {
    name: "edge",
    contract: vitalmesh_proto::heartbeat::v1::FILE_DESCRIPTOR_SET,
};

pub(crate) const TIMEOUT: Duration = Duration::from_secs(3);
const MAX_INTERVAL: Duration = Duration::from_secs(24 * 3600);
/// Instances spread over this much of the interval, which leaves time for the call itself.
const SPREAD: f64 = 0.5;

/// The settings of a service that sends heartbeats.
#[derive(clap::Args, Clone, Debug)]
pub struct HeartbeatSettings {
    /// Where heartbeats go
    #[arg(long, env, default_value = "http://127.0.0.1:50053", value_parser = service_url)]
    pub edge_url: Uri,

    /// When heartbeats are sent: cron with seconds, in UTC, at least once a day; or off
    #[arg(long, env, default_value = "*/10 * * * * *", value_parser = at_least_daily)]
    pub heartbeat_cron: Schedule,
}

/// What stays the same from beat to beat, and what is counted on.
#[derive(Debug)]
struct Heart {
    service: &'static str,
    instance: String,
    started_at: SystemTime,
    schedule: Schedule,
    sequence: AtomicU64,
    vitals: Vitals,
}

pub(crate) fn task(
    service: &'static str,
    instance: String,
    settings: &HeartbeatSettings,
    channel: Channel,
    metrics: ServerMetrics,
) -> Task {
    let schedule = settings.heartbeat_cron.clone();
    let interval = schedule.interval();
    let heart = Arc::new(Heart {
        service,
        instance,
        started_at: SystemTime::now(),
        schedule: schedule.clone(),
        sequence: AtomicU64::new(0),
        vitals: Vitals::new(metrics),
    });
    let client = HeartbeatServiceClient::new(channel);
    Task {
        name: "heartbeat",
        schedule,
        phase: interval.mul_f64(SPREAD * fastrand::f64()),
        timeout: TIMEOUT,
        at_start: true,
        work: Box::new(move || {
            let mut client = client.clone();
            let beat = heart.beat();
            async move {
                client.beat_heart(beat).await?;
                Ok(())
            }
            .boxed()
        }),
    }
}

/// The edge takes no beat that announces the next one for later.
fn at_least_daily(expression: &str) -> Result<Schedule, String> {
    let schedule: Schedule = expression
        .parse()
        .map_err(|error: ScheduleError| error.to_string())?;
    match schedule.interval() <= MAX_INTERVAL {
        true => Ok(schedule),
        false => Err("expected a schedule with a run at least once a day".to_owned()),
    }
}

// === impl Heart ===

impl Heart {
    fn beat(&self) -> BeatHeartRequest {
        BeatHeartRequest {
            service_name: self.service.to_owned(),
            instance: self.instance.clone(),
            version: process::VERSION.to_owned(),
            started_at: Some(self.started_at.into()),
            interval: self.schedule.interval().try_into().ok(),
            sequence: self.sequence.fetch_add(1, Ordering::Relaxed) + 1,
            vital_signs: Some(self.vitals.read()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_heart_beats_at_least_daily() {
        assert!(at_least_daily("0 0 4 * * *").is_ok());
        assert!(at_least_daily("off").is_ok());
        let error = at_least_daily("0 0 4 * * MON").unwrap_err();
        assert!(error.contains("once a day"), "{error}");
        assert!(at_least_daily("often").unwrap_err().contains("six fields"));
    }
}
