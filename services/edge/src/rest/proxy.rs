//! `GET /proxy/{name}`: calls revert-name and time concurrently; the first failure is the response.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use vitalmesh_chassis::AnyChannel;
use vitalmesh_proto::revert_name::v1::RevertNameRequest;
use vitalmesh_proto::revert_name::v1::revert_name_service_client::RevertNameServiceClient;
use vitalmesh_proto::time::v1::WhatTimeIsRequest;
use vitalmesh_proto::time::v1::time_service_client::TimeServiceClient;

use super::error::Error;
use super::name::Name;

/// Clients of the services behind the proxy. Their channels set the deadline of each call.
#[derive(Clone, Debug)]
pub struct Upstreams<C> {
    pub revert_name: RevertNameServiceClient<C>,
    pub time: TimeServiceClient<C>,
}

#[derive(Debug, Serialize)]
pub(crate) struct ProxyResponse {
    name: String,
    reversed_name: String,
    time: String,
}

// === impl Upstreams ===

impl<C: AnyChannel> Upstreams<C> {
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

pub(crate) async fn proxy<C: AnyChannel>(
    State(upstreams): State<Upstreams<C>>,
    Name(name): Name,
) -> Result<Json<ProxyResponse>, Error> {
    let (reversed_name, time) = tokio::try_join!(upstreams.reversed(&name), upstreams.time())?;
    Ok(Json(ProxyResponse {
        name,
        reversed_name,
        time,
    }))
}
