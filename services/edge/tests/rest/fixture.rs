//! An edge before leaves that respond as a test demands.

use std::future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, Method, StatusCode};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::Barrier;
use tonic::service::Routes;
use tonic::{Request, Response, Status};
use tower::ServiceExt;
use vitalmesh_edge::{Roster, Store, StoreSettings, Upstreams, router};
use vitalmesh_proto::revert_name::v1::revert_name_service_client::RevertNameServiceClient;
use vitalmesh_proto::revert_name::v1::revert_name_service_server::{
    RevertNameService, RevertNameServiceServer,
};
use vitalmesh_proto::revert_name::v1::{RevertNameRequest, RevertNameResponse};
use vitalmesh_proto::time::v1::time_service_client::TimeServiceClient;
use vitalmesh_proto::time::v1::time_service_server::{TimeService, TimeServiceServer};
use vitalmesh_proto::time::v1::{WhatTimeIsRequest, WhatTimeIsResponse};

pub(crate) const TIME: &str = "2026-11-21T12:00:00.000000+00:00";

/// Both leaves: they respond `<name>` and [`TIME`], or as the fields demand.
#[derive(Clone, Debug, Default)]
pub(crate) struct Leaves {
    pub(crate) revert_name_error: Option<Status>,
    pub(crate) revert_name_hangs: bool,
    pub(crate) time_error: Option<Status>,
    /// The two calls of a request wait here for each other.
    pub(crate) barrier: Option<Arc<Barrier>>,
    pub(crate) calls: Arc<AtomicUsize>,
}

/// An edge with a store of its own.
pub(crate) struct Edge {
    router: Router,
    pub(crate) store: Store,
    _folder: TempDir,
}

pub(crate) struct RestResponse {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

// === impl Leaves ===

impl Leaves {
    pub(crate) async fn count_call(&self) {
        self.calls.fetch_add(1, Ordering::Relaxed);
        if let Some(barrier) = &self.barrier {
            barrier.wait().await;
        }
    }
}

#[tonic::async_trait]
impl RevertNameService for Leaves {
    async fn revert_name(
        &self,
        request: Request<RevertNameRequest>,
    ) -> Result<Response<RevertNameResponse>, Status> {
        self.count_call().await;
        if self.revert_name_hangs {
            future::pending::<()>().await;
        }
        if let Some(status) = &self.revert_name_error {
            return Err(status.clone());
        }
        let RevertNameRequest { name, delay } = request.into_inner();
        assert_eq!(delay, 0);
        let name = format!("<{name}>");
        Ok(Response::new(RevertNameResponse { name }))
    }
}

#[tonic::async_trait]
impl TimeService for Leaves {
    async fn what_time_is(
        &self,
        _: Request<WhatTimeIsRequest>,
    ) -> Result<Response<WhatTimeIsResponse>, Status> {
        self.count_call().await;
        match &self.time_error {
            Some(status) => Err(status.clone()),
            None => Ok(Response::new(WhatTimeIsResponse {
                time: TIME.to_owned(),
            })),
        }
    }
}

// === impl Edge ===

impl Edge {
    pub(crate) async fn with_leaves(leaves: Leaves) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path(), StoreSettings::default())
            .await
            .unwrap();
        let channel = Routes::new(RevertNameServiceServer::new(leaves.clone()))
            .add_service(TimeServiceServer::new(leaves));
        let upstreams = Upstreams {
            revert_name: RevertNameServiceClient::new(channel.clone()),
            time: TimeServiceClient::new(channel),
        };
        let roster = Roster::new(store.clone(), &[("time", Duration::from_secs(10))]);
        Self {
            router: router(upstreams, roster),
            store,
            _folder: folder,
        }
    }

    pub(crate) async fn get(&self, path: &str) -> RestResponse {
        self.ask(Method::GET, path).await
    }

    pub(crate) async fn ask(&self, method: Method, path: &str) -> RestResponse {
        let request = axum::http::Request::builder()
            .method(method)
            .uri(path)
            .body(Body::empty())
            .unwrap();
        let (head, body) = self
            .router
            .clone()
            .oneshot(request)
            .await
            .unwrap()
            .into_parts();
        RestResponse {
            status: head.status,
            headers: head.headers,
            body: body.collect().await.unwrap().to_bytes().to_vec(),
        }
    }
}

// === impl RestResponse ===

impl RestResponse {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub(crate) fn header(&self, name: impl axum::http::header::AsHeaderName) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    pub(crate) fn assert_problem(&self, expected: &Value) {
        assert_eq!(self.header(CONTENT_TYPE), Some("application/problem+json"));
        assert_eq!(self.json(), *expected);
        assert_eq!(expected["status"], self.status.as_u16());
    }
}

pub(crate) fn problem(status: u16, title: &str, detail: &str) -> Value {
    json!({"type": "about:blank", "title": title, "status": status, "detail": detail})
}
