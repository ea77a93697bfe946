//! `GET /proxy/{name}`: asks revert-name and time at once, the first failure answers.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use tonic::body::Body;
use tonic::client::GrpcService;
use tonic::codegen::{Body as HttpBody, Bytes, StdError};
use vitalmesh_proto::revert_name::v1::RevertNameRequest;
use vitalmesh_proto::revert_name::v1::revert_name_service_client::RevertNameServiceClient;
use vitalmesh_proto::time::v1::WhatTimeIsRequest;
use vitalmesh_proto::time::v1::time_service_client::TimeServiceClient;

use crate::error::Error;
use crate::name::Name;

/// What a generated client can call through: a name for its bounds.
pub trait Channel:
    GrpcService<
        Body,
        Error: Into<StdError>,
        Future: Send,
        ResponseBody: HttpBody<Data = Bytes, Error: Into<StdError> + Send> + Send + 'static,
    > + Clone
    + Send
    + Sync
    + 'static
{
}

/// The services behind the proxy. Their channels carry the deadline of a call.
#[derive(Clone, Debug)]
pub struct Upstreams<C> {
    pub revert_name: RevertNameServiceClient<C>,
    pub time: TimeServiceClient<C>,
}

#[derive(Debug, Serialize)]
pub(crate) struct Answer {
    name: String,
    reversed_name: String,
    time: String,
}

// === impl Channel ===

impl<C> Channel for C
where
    C: GrpcService<Body, Error: Into<StdError>, Future: Send> + Clone + Send + Sync + 'static,
    C::ResponseBody: HttpBody<Data = Bytes, Error: Into<StdError> + Send> + Send + 'static,
{
}

// === impl Upstreams ===

impl<C: Channel> Upstreams<C> {
    async fn reversed(&self, name: &str) -> Result<String, Error> {
        let request = RevertNameRequest {
            name: name.to_owned(),
            delay: 0,
        };
        let response = self.revert_name.clone().revert_name(request).await;
        let response = response.map_err(|status| Error::upstream("revert-name", status))?;
        Ok(response.into_inner().name)
    }

    async fn time(&self) -> Result<String, Error> {
        let response = self.time.clone().what_time_is(WhatTimeIsRequest {}).await;
        let response = response.map_err(|status| Error::upstream("time", status))?;
        Ok(response.into_inner().time)
    }
}

pub(crate) async fn proxy<C: Channel>(
    State(upstreams): State<Upstreams<C>>,
    Name(name): Name,
) -> Result<Json<Answer>, Error> {
    let (reversed_name, time) = tokio::try_join!(upstreams.reversed(&name), upstreams.time())?;
    Ok(Json(Answer {
        name,
        reversed_name,
        time,
    }))
}
