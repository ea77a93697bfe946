//! The heartbeat service: validates each beat, stores it, and responds after the commit.

mod validation;

use jiff::Timestamp;
use tonic::{Request, Response, Status};
use vitalmesh_proto::heartbeat::v1::heartbeat_service_server::HeartbeatService;
use vitalmesh_proto::heartbeat::v1::{BeatHeartRequest, BeatHeartResponse};

use self::validation::validate;
pub(crate) use self::validation::{MAX_INTERVAL, is_service_name};
use crate::store::{Store, StoreError};

/// Stores the heartbeats that it receives.
#[derive(Clone, Debug)]
pub struct Heartbeats {
    store: Store,
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
        let beat = validate(request.into_inner(), Timestamp::now())?;
        self.store.beat(beat).await?;
        Ok(Response::new(BeatHeartResponse {}))
    }
}

// === impl Status ===

impl From<StoreError> for Status {
    fn from(error: StoreError) -> Self {
        let message = error.to_string();
        match error {
            StoreError::Busy
            | StoreError::TooManyServices { .. }
            | StoreError::TooManyInstances { .. } => Self::resource_exhausted(message),
            StoreError::Unwritable(_) | StoreError::Closed => Self::unavailable(message),
            StoreError::Panicked => Self::internal(message),
        }
    }
}

#[cfg(test)]
mod tests {
    use tonic::Code;

    use super::*;
    use crate::store::StoreSettings;

    #[tokio::test]
    async fn a_beat_is_acknowledged_once_stored_and_a_rejection_names_its_field() {
        let folder = tempfile::tempdir().unwrap();
        let settings = StoreSettings {
            max_services: 1,
            max_instances: 1,
            ..StoreSettings::default()
        };
        let store = Store::open(folder.path(), settings).await.unwrap();
        let heartbeats = Heartbeats::new(store.clone());
        let named = |service_name: &str| {
            let service_name = service_name.to_owned();
            Request::new(BeatHeartRequest {
                service_name,
                ..BeatHeartRequest::default()
            })
        };

        let before = Timestamp::now();
        heartbeats.beat_heart(named("time")).await.unwrap();
        let status = store.services().remove(0);
        assert_eq!((status.service.as_str(), status.beats), ("time", 1));
        let last_seen = status.newest().unwrap().last_seen;
        assert!(before <= last_seen && last_seen <= Timestamp::now());

        let invalid = heartbeats.beat_heart(named("no\nname")).await.unwrap_err();
        assert_eq!(invalid.code(), Code::InvalidArgument);
        assert_eq!(
            invalid.message(),
            "service_name must be 1 to 64 characters of a-z, A-Z, 0-9, '.', '_' and '-'"
        );

        let capped = heartbeats.beat_heart(named("other")).await.unwrap_err();
        assert_eq!(capped.code(), Code::ResourceExhausted);
        assert_eq!(
            capped.message(),
            "the limit of 1 services is reached; use the name of a known one"
        );

        let mut second = named("time");
        second.get_mut().instance = "two".to_owned();
        let capped = heartbeats.beat_heart(second).await.unwrap_err();
        assert_eq!(capped.code(), Code::ResourceExhausted);
        assert_eq!(
            capped.message(),
            "the limit of 1 instances of a service is reached, and none of them is late"
        );

        store.close().await;
        let closed = heartbeats.beat_heart(named("time")).await.unwrap_err();
        assert_eq!(closed.code(), Code::Unavailable);
        assert_eq!(store.services().remove(0).beats, 1);
    }

    #[test]
    fn an_error_of_the_store_has_the_code_of_the_contract() {
        let cause = std::io::Error::other("disk");
        let unwritable = StoreError::Unwritable(std::sync::Arc::new(cause));
        let status = Status::from(unwritable);
        assert_eq!(status.code(), Code::Unavailable);
        assert_eq!(
            status.message(),
            "the heartbeat store cannot write now; send the beat again later"
        );
        assert_eq!(
            Status::from(StoreError::Busy).code(),
            Code::ResourceExhausted
        );
        assert_eq!(Status::from(StoreError::Panicked).code(), Code::Internal);
    }
}
