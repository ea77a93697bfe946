//! The heartbeat service: checks each beat, hands it to the store, answers after the commit.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use prost::Message;
use tonic::{Request, Response, Status};
use vitalmesh_proto::heartbeat::v1::heartbeat_service_server::HeartbeatService;
use vitalmesh_proto::heartbeat::v1::{BeatHeartRequest, BeatHeartResponse, VitalSigns};

use crate::store::{Beat, Store, StoreError};

const MAX_SERVICE_NAME_BYTES: usize = 64;
const MAX_INSTANCE_BYTES: usize = 128;
const MAX_VERSION_BYTES: usize = 64;
const MAX_INTERVAL: Duration = Duration::from_secs(24 * 3600);
/// How far the clock of a sender may be ahead of ours.
const MAX_CLOCK_SKEW: SignedDuration = SignedDuration::from_mins(5);

/// Receives heartbeats into a store.
#[derive(Clone, Debug)]
pub struct Heartbeats {
    store: Store,
}

/// No text repeats what was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
enum InvalidBeat {
    #[error("service_name is not 1 to {MAX_SERVICE_NAME_BYTES} of a-z, A-Z, 0-9, '.', '_' and '-'")]
    ServiceName,
    #[error("instance is not printable ASCII of at most {MAX_INSTANCE_BYTES} bytes")]
    Instance,
    #[error("version is not printable ASCII of at most {MAX_VERSION_BYTES} bytes")]
    Version,
    #[error("started_at is not a time between 1970 and now; check the sender's clock")]
    StartedAt,
    #[error("interval is not more than zero and at most one day")]
    Interval,
    #[error("sequence is more than 2^63 - 1; start again from 1")]
    Sequence,
    #[error("vital_signs has a number that is negative, infinite or not a number")]
    VitalSigns,
}

// === impl Heartbeats ===

impl Heartbeats {
    pub const fn new(store: Store) -> Self {
        Self { store }
    }
}

#[tonic::async_trait]
impl HeartbeatService for Heartbeats {
    async fn beat_heart(
        &self,
        request: Request<BeatHeartRequest>,
    ) -> Result<Response<BeatHeartResponse>, Status> {
        let beat = checked(request.into_inner(), Timestamp::now())?;
        self.store.beat(beat).await?;
        Ok(Response::new(BeatHeartResponse {}))
    }
}

// === impl InvalidBeat ===

impl From<InvalidBeat> for Status {
    fn from(invalid: InvalidBeat) -> Self {
        Self::invalid_argument(invalid.to_string())
    }
}

// === impl Status ===

impl From<StoreError> for Status {
    fn from(error: StoreError) -> Self {
        let message = error.to_string();
        match error {
            StoreError::Busy | StoreError::TooManyServices { .. } => {
                Self::resource_exhausted(message)
            }
            StoreError::Unwritable(_) | StoreError::Closed => Self::unavailable(message),
        }
    }
}

fn checked(request: BeatHeartRequest, now: Timestamp) -> Result<Beat, InvalidBeat> {
    if !is_service_name(&request.service_name) {
        return Err(InvalidBeat::ServiceName);
    }
    if !is_printable(&request.instance, MAX_INSTANCE_BYTES) {
        return Err(InvalidBeat::Instance);
    }
    if !is_printable(&request.version, MAX_VERSION_BYTES) {
        return Err(InvalidBeat::Version);
    }
    let started_at = request.started_at.map(|time| started_at(time, now));
    let vital_signs = request.vital_signs.map(|signs| vital_signs(&signs));
    Ok(Beat {
        service: request.service_name,
        instance: request.instance,
        version: request.version,
        started_at: started_at.transpose()?,
        interval: request.interval.map(interval).transpose()?,
        sequence: i64::try_from(request.sequence).map_err(|_| InvalidBeat::Sequence)?,
        vital_signs: vital_signs.transpose()?,
        received_at: now,
    })
}

fn is_service_name(name: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    (1..=MAX_SERVICE_NAME_BYTES).contains(&name.len()) && name.bytes().all(is_allowed)
}

fn is_printable(text: &str, max_bytes: usize) -> bool {
    text.len() <= max_bytes && text.bytes().all(|byte| (b' '..=b'~').contains(&byte))
}

fn started_at(time: prost_types::Timestamp, now: Timestamp) -> Result<Timestamp, InvalidBeat> {
    if !(0..1_000_000_000).contains(&time.nanos) {
        return Err(InvalidBeat::StartedAt);
    }
    let time = Timestamp::new(time.seconds, time.nanos).map_err(|_| InvalidBeat::StartedAt)?;
    let is_sane = time >= Timestamp::UNIX_EPOCH && time.duration_since(now) <= MAX_CLOCK_SKEW;
    is_sane.then_some(time).ok_or(InvalidBeat::StartedAt)
}

fn interval(interval: prost_types::Duration) -> Result<Duration, InvalidBeat> {
    let interval = Duration::try_from(interval).map_err(|_| InvalidBeat::Interval)?;
    let is_sane = !interval.is_zero() && interval <= MAX_INTERVAL;
    is_sane.then_some(interval).ok_or(InvalidBeat::Interval)
}

fn vital_signs(signs: &VitalSigns) -> Result<Vec<u8>, InvalidBeat> {
    let numbers = [
        signs.requests_per_second,
        signs.faults_per_second,
        signs.latency_p50_seconds,
        signs.latency_p99_seconds,
    ];
    let is_sane = numbers
        .iter()
        .all(|number| number.is_finite() && *number >= 0.0);
    is_sane
        .then(|| signs.encode_to_vec())
        .ok_or(InvalidBeat::VitalSigns)
}
