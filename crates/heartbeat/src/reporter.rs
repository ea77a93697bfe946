//! The task that sends heartbeats.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use futures_util::FutureExt;
use vitalmesh_chassis::{Assembly, BoxError, Schedule, Task, Upstream, VERSION};
use vitalmesh_proto::heartbeat::v1::heartbeat_service_client::HeartbeatServiceClient;
use vitalmesh_proto::heartbeat::v1::{BeatHeartRequest, FILE_DESCRIPTOR_SET};

use crate::settings::HeartbeatSettings;
use crate::vital_signs::VitalSignsReader;

/// The service that receives heartbeats.
const EDGE: Upstream = Upstream {
    name: "edge",
    contract: FILE_DESCRIPTOR_SET,
};
const TIMEOUT: Duration = Duration::from_secs(3);
/// Instances spread over this share of the shortest interval, which leaves time for the call itself.
const SPREAD: f64 = 0.5;

/// Makes the heartbeats of one instance.
#[derive(Debug)]
struct HeartbeatReporter {
    service: &'static str,
    instance: String,
    started_at: SystemTime,
    schedule: Schedule,
    sequence: AtomicU64,
    vital_signs: VitalSignsReader,
}

/// Sends heartbeats to the edge while the service runs: one at the start, then by the schedule. Each
/// carries the rates and latencies since the one before.
///
/// # Errors
///
/// None with the mesh's own contract; see [`Assembly::channel`].
pub fn report(assembly: &mut Assembly, settings: &HeartbeatSettings) -> Result<(), BoxError> {
    let channel = assembly.channel(EDGE, settings.edge_url.clone(), TIMEOUT)?;
    let client = HeartbeatServiceClient::new(channel);
    let schedule = settings.heartbeat_cron.clone();
    let phase = schedule.shortest_gap().mul_f64(SPREAD * fastrand::f64());
    let reporter = Arc::new(HeartbeatReporter {
        service: assembly.name(),
        instance: assembly.instance().to_owned(),
        started_at: SystemTime::now(),
        schedule: schedule.clone(),
        sequence: AtomicU64::new(0),
        vital_signs: VitalSignsReader::new(assembly.totals().clone()),
    });
    assembly.add_task(Task {
        name: "heartbeat",
        schedule,
        phase,
        timeout: TIMEOUT,
        at_start: true,
        work: Box::new(move || {
            let mut client = client.clone();
            let beat = reporter.beat();
            async move {
                client.beat_heart(beat).await?;
                Ok(())
            }
            .boxed()
        }),
    });
    Ok(())
}

// === impl HeartbeatReporter ===

impl HeartbeatReporter {
    fn beat(&self) -> BeatHeartRequest {
        BeatHeartRequest {
            service_name: self.service.to_owned(),
            instance: self.instance.clone(),
            version: VERSION.to_owned(),
            started_at: Some(self.started_at.into()),
            interval: self.schedule.longest_gap().try_into().ok(),
            sequence: self.sequence.fetch_add(1, Ordering::Relaxed) + 1,
            vital_signs: Some(self.vital_signs.read()),
        }
    }
}
