//! The health of a port and of each of its services: `grpc.health.v1.Health`.

use std::collections::BTreeMap;

use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use tokio::sync::watch;
use tonic::{Request, Response, Status};

use crate::pb::health as pb;
use crate::pb::health::health_check_response::ServingStatus;

/// The longest list that the protocol allows.
const MAX_LISTED: usize = 100;

/// The health of a port and of each of its services. Clones share it.
#[derive(Clone, Debug)]
pub struct Health {
    changes: watch::Sender<Statuses>,
}

#[derive(Clone, Debug)]
struct Statuses {
    /// By service; the empty name is the whole port.
    by_service: BTreeMap<String, ServingStatus>,
    watches_end: bool,
}

/// One call of Watch.
struct Watch {
    service: String,
    sent: Option<ServingStatus>,
    changes: watch::Receiver<Statuses>,
}

type WatchResponse = Result<pb::HealthCheckResponse, Status>;

// === impl Health ===

impl Health {
    /// The port and all `services` are SERVING.
    pub(crate) fn new(services: impl IntoIterator<Item = String>) -> Self {
        let services = services.into_iter().chain([String::new()]);
        let serving = services.map(|service| (service, ServingStatus::Serving));
        let (changes, _) = watch::channel(Statuses {
            by_service: serving.collect(),
            watches_end: false,
        });
        Self { changes }
    }

    /// The names whose health is reported; the empty one is the whole port.
    pub fn services(&self) -> Vec<String> {
        self.changes.borrow().by_service.keys().cloned().collect()
    }

    /// Reports `status` for a service, which need not be known yet.
    pub fn set(&self, service: &str, status: ServingStatus) {
        let service = service.to_owned();
        self.changes.send_modify(|statuses| {
            statuses.by_service.insert(service, status);
        });
    }

    /// Reports NOT_SERVING for every service, so that balancers and watchers go elsewhere.
    pub fn set_not_serving(&self) {
        self.changes.send_modify(|statuses| {
            let statuses = statuses.by_service.values_mut();
            statuses.for_each(|status| *status = ServingStatus::NotServing);
        });
    }

    /// Ends the open watches after their last change. They would otherwise hold the drain until its
    /// timeout.
    pub fn end_watches(&self) {
        self.changes
            .send_modify(|statuses| statuses.watches_end = true);
    }
}

#[tonic::async_trait]
impl pb::health_server::Health for Health {
    type WatchStream = BoxStream<'static, WatchResponse>;

    async fn check(
        &self,
        request: Request<pb::HealthCheckRequest>,
    ) -> Result<Response<pb::HealthCheckResponse>, Status> {
        let statuses = self.changes.borrow();
        let status = statuses.by_service.get(&request.get_ref().service);
        match status {
            Some(status) => Ok(Response::new(response(*status))),
            None => Err(Status::not_found("no such service; List lists the names")),
        }
    }

    async fn list(
        &self,
        _: Request<pb::HealthListRequest>,
    ) -> Result<Response<pb::HealthListResponse>, Status> {
        let statuses = self.changes.borrow();
        if statuses.by_service.len() > MAX_LISTED {
            let reason = "more services than List may return; use Check";
            return Err(Status::resource_exhausted(reason));
        }
        let listed = statuses.by_service.iter();
        let listed = listed.map(|(service, status)| (service.clone(), response(*status)));
        Ok(Response::new(pb::HealthListResponse {
            statuses: listed.collect(),
        }))
    }

    async fn watch(
        &self,
        request: Request<pb::HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let watch = Watch {
            service: request.into_inner().service,
            sent: None,
            changes: self.changes.subscribe(),
        };
        Ok(Response::new(stream::unfold(watch, Watch::next).boxed()))
    }
}

// === impl Watch ===

impl Watch {
    async fn next(mut self) -> Option<(WatchResponse, Self)> {
        loop {
            let (status, end) = {
                let statuses = self.changes.borrow_and_update();
                let status = statuses.by_service.get(&self.service).copied();
                (status, statuses.watches_end)
            };
            let status = status.unwrap_or(ServingStatus::ServiceUnknown);
            if self.sent.replace(status) != Some(status) {
                return Some((Ok(response(status)), self));
            }
            if end {
                return None;
            }
            self.changes.changed().await.ok()?;
        }
    }
}

fn response(status: ServingStatus) -> pb::HealthCheckResponse {
    pb::HealthCheckResponse {
        status: status.into(),
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use pb::health_server::Health as _;
    use tonic::Code;

    use super::*;

    fn request(service: &str) -> Request<pb::HealthCheckRequest> {
        Request::new(pb::HealthCheckRequest {
            service: service.to_owned(),
        })
    }

    fn health() -> Health {
        Health::new(["a.A".to_owned(), "b.B".to_owned()])
    }

    /// What the watch has sent since the last look; `None` at its end.
    fn sent(watch: &mut BoxStream<'static, WatchResponse>) -> Vec<Option<ServingStatus>> {
        let mut sent = Vec::new();
        while let Some(next) = watch.next().now_or_never() {
            sent.push(next.map(|response| response.unwrap().status()));
            if sent.last() == Some(&None) {
                break;
            }
        }
        sent
    }

    #[tokio::test]
    async fn check_knows_the_port_and_its_services_and_no_other_name() {
        let health = health();
        health.set("b.B", ServingStatus::NotServing);
        for (service, status) in [
            ("", ServingStatus::Serving),
            ("a.A", ServingStatus::Serving),
            ("b.B", ServingStatus::NotServing),
        ] {
            let response = health.check(request(service)).await.unwrap();
            assert_eq!(response.into_inner().status(), status, "{service}");
        }
        for unknown in ["a", "A", "a.A ", "A.a"] {
            let error = health.check(request(unknown)).await.unwrap_err();
            assert_eq!(error.code(), Code::NotFound, "{unknown}");
        }
    }

    #[tokio::test]
    async fn list_has_every_service_and_refuses_more_than_a_hundred() {
        let health = health();
        health.set("b.B", ServingStatus::NotServing);
        let list = async || health.list(Request::new(pb::HealthListRequest {})).await;
        let statuses = list().await.unwrap().into_inner().statuses;
        let mut statuses: Vec<_> = statuses
            .iter()
            .map(|(service, response)| (service.as_str(), response.status()))
            .collect();
        statuses.sort();
        let expected = [
            ("", ServingStatus::Serving),
            ("a.A", ServingStatus::Serving),
            ("b.B", ServingStatus::NotServing),
        ];
        assert_eq!(statuses, expected);

        for n in 3..100 {
            health.set(&format!("more.N{n}"), ServingStatus::Serving);
        }
        assert_eq!(list().await.unwrap().into_inner().statuses.len(), 100);
        health.set("more.N100", ServingStatus::Serving);
        let error = list().await.unwrap_err();
        assert_eq!(error.code(), Code::ResourceExhausted);
    }

    #[tokio::test]
    async fn a_watch_sends_the_status_and_each_change_once() {
        let health = health();
        let watch = health.watch(request("a.A")).await;
        let mut watch = watch.unwrap().into_inner();
        assert_eq!(sent(&mut watch), [Some(ServingStatus::Serving)]);
        health.set("a.A", ServingStatus::Serving);
        health.set("b.B", ServingStatus::NotServing);
        assert_eq!(sent(&mut watch), []);
        health.set_not_serving();
        assert_eq!(sent(&mut watch), [Some(ServingStatus::NotServing)]);
        health.set("a.A", ServingStatus::Serving);
        assert_eq!(sent(&mut watch), [Some(ServingStatus::Serving)]);
    }

    #[tokio::test]
    async fn a_watch_of_an_unknown_service_stays_open_and_sends_its_status_once_known() {
        let health = health();
        let watch = health.watch(request("c.C")).await;
        let mut watch = watch.unwrap().into_inner();
        assert_eq!(sent(&mut watch), [Some(ServingStatus::ServiceUnknown)]);
        health.set_not_serving();
        assert_eq!(sent(&mut watch), []);
        health.set("c.C", ServingStatus::Serving);
        assert_eq!(sent(&mut watch), [Some(ServingStatus::Serving)]);
    }

    #[tokio::test]
    async fn every_watch_ends_after_its_last_change_and_checks_go_on() {
        let health = health();
        let mut watches = Vec::new();
        for service in ["", "a.A", "c.C"] {
            let watch = health.watch(request(service)).await;
            watches.push(watch.unwrap().into_inner());
        }
        health.set_not_serving();
        health.end_watches();
        let last = [
            ServingStatus::NotServing,
            ServingStatus::NotServing,
            ServingStatus::ServiceUnknown,
        ];
        for (watch, last) in watches.iter_mut().zip(last) {
            assert_eq!(sent(watch), [Some(last), None]);
        }
        let response = health.check(request("")).await.unwrap().into_inner();
        assert_eq!(response.status(), ServingStatus::NotServing);
    }
}
