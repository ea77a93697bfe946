//! The baseline of the benches: the proxy and its leaves as in the guides of tonic and axum, without
//! metrics, layers or limits.

use std::net::SocketAddr;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use serde::Serialize;
use tokio::net::TcpListener;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Channel, Server};
use vitalmesh_proto::revert_name::v1::RevertNameRequest;
use vitalmesh_proto::revert_name::v1::revert_name_service_client::RevertNameServiceClient;
use vitalmesh_proto::revert_name::v1::revert_name_service_server::RevertNameServiceServer;
use vitalmesh_proto::time::v1::WhatTimeIsRequest;
use vitalmesh_proto::time::v1::time_service_client::TimeServiceClient;
use vitalmesh_proto::time::v1::time_service_server::TimeServiceServer;
use vitalmesh_revert_name::Reverter;
use vitalmesh_time::Clock;

use crate::channel;

#[derive(Clone, Debug)]
struct Leaves {
    revert_name: RevertNameServiceClient<Channel>,
    time: TimeServiceClient<Channel>,
}

#[derive(Debug, Serialize)]
struct ProxyResponse {
    name: String,
    reversed_name: String,
    time: String,
}

/// Starts the three services and returns the address of the proxy. They run as long as the runtime.
pub async fn stock() -> SocketAddr {
    let (time, incoming) = listen().await;
    let clock = Server::builder().add_service(TimeServiceServer::new(Clock::new()));
    tokio::spawn(clock.serve_with_incoming(incoming));

    let (revert_name, incoming) = listen().await;
    let reverter = RevertNameServiceServer::new(Reverter::default());
    let reverter = Server::builder().add_service(reverter);
    tokio::spawn(reverter.serve_with_incoming(incoming));

    let leaves = Leaves {
        revert_name: RevertNameServiceClient::new(channel(revert_name)),
        time: TimeServiceClient::new(channel(time)),
    };
    let routes = Router::new().route("/proxy/{name}", get(proxy));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let serve = axum::serve(listener, routes.with_state(leaves));
    tokio::spawn(async move { serve.await });
    address
}

async fn listen() -> (SocketAddr, TcpIncoming) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    // As tonic's `serve` sets it.
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    (address, incoming)
}

async fn proxy(
    State(leaves): State<Leaves>,
    Path(name): Path<String>,
) -> Result<Json<ProxyResponse>, StatusCode> {
    let Leaves {
        mut revert_name,
        mut time,
    } = leaves;
    let request = RevertNameRequest {
        name: name.clone(),
        delay: 0,
    };
    let (reversed_name, time) = tokio::try_join!(
        revert_name.revert_name(request),
        time.what_time_is(WhatTimeIsRequest {}),
    )
    .map_err(|_| StatusCode::BAD_GATEWAY)?;
    Ok(Json(ProxyResponse {
        name,
        reversed_name: reversed_name.into_inner().name,
        time: time.into_inner().time,
    }))
}
