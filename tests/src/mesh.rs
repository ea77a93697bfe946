//! The services of the mesh in this process, on free ports.

use std::net::SocketAddr;
use std::path::Path;

use tempfile::TempDir;
use tonic::transport::{Channel, Endpoint};
use vitalmesh_chassis::{Bound, Running, Service, Uri, bind, parse};
use vitalmesh_services::expected_services;

/// Any free port.
const FREE: &str = "127.0.0.1:0";

/// The edge and two leaves, started. The fields are public, so that tests can stop one alone.
#[derive(Debug)]
pub struct Mesh {
    pub edge: Running,
    pub revert_name: Running,
    pub time: Running,
    pub data: TempDir,
}

// === impl Mesh ===

impl Mesh {
    /// A mesh whose leaves beat once at their start, and then at midnight only.
    pub async fn start() -> Self {
        Self::with(&[], &[]).await
    }

    /// A mesh with these flags for the edge and for both leaves.
    pub async fn with(edge_flags: &[&str], leaf_flags: &[&str]) -> Self {
        let data = tempfile::tempdir().unwrap();
        let mut edge = edge(data.path(), edge_flags);
        let mut revert_name = revert_name(leaf_flags);
        let mut time = time(leaf_flags);
        edge.config_mut().revert_name_url = url(revert_name.addresses().grpc);
        edge.config_mut().time_url = url(time.addresses().grpc);
        revert_name.config_mut().heartbeat.edge_url = url(edge.addresses().grpc);
        time.config_mut().heartbeat.edge_url = url(edge.addresses().grpc);
        Self {
            edge: edge.start().await.unwrap(),
            revert_name: revert_name.start().await.unwrap(),
            time: time.start().await.unwrap(),
            data,
        }
    }

    /// The address of the edge's REST port.
    pub fn http(&self) -> SocketAddr {
        self.edge.addresses().http.unwrap()
    }

    /// Stops all services, the edge first.
    pub async fn stop(self) {
        self.edge.stop().await;
        tokio::join!(self.revert_name.stop(), self.time.stop());
    }
}

/// The bookstore, bound to free ports unless `flags` name others.
pub fn bookstore(data: &Path, flags: &[&str]) -> Bound<vitalmesh_bookstore::Config> {
    let data = data.to_str().unwrap();
    let own = [
        "--http-address",
        FREE,
        "--heartbeat-cron",
        "0 0 0 * * *",
        "--data-dir",
        data,
    ];
    service(&own, flags)
}

/// The counter, bound to free ports unless `flags` name others.
pub fn counter(flags: &[&str]) -> Bound<vitalmesh_counter::Config> {
    let own = ["--http-address", FREE, "--heartbeat-cron", "0 0 0 * * *"];
    service(&own, flags)
}

/// The edge, bound to free ports unless `flags` name others; it expects heartbeats of all leaves.
pub fn edge(data: &Path, flags: &[&str]) -> Bound<vitalmesh_edge::Config> {
    let data = data.to_str().unwrap();
    let expected = expected_services();
    let own = [
        "--http-address",
        FREE,
        "--data-dir",
        data,
        "--expected-services",
        &expected,
    ];
    service(&own, flags)
}

/// The revert-name service, bound to free ports unless `flags` name others.
pub fn revert_name(flags: &[&str]) -> Bound<vitalmesh_revert_name::Config> {
    service(&["--heartbeat-cron", "0 0 0 * * *"], flags)
}

/// The time service, bound to free ports unless `flags` name others.
pub fn time(flags: &[&str]) -> Bound<vitalmesh_time::Config> {
    service(&["--heartbeat-cron", "0 0 0 * * *"], flags)
}

/// `flags` replace `defaults`.
fn service<S: Service>(defaults: &[&str], flags: &[&str]) -> Bound<S> {
    let common = [
        "--grpc-address",
        FREE,
        "--scrape-address",
        FREE,
        "--lame-duck",
        "0s",
    ];
    let mut words = vec![S::NAME];
    for pair in common.chunks(2).chain(defaults.chunks(2)) {
        if !flags.contains(&pair[0]) {
            words.extend(pair);
        }
    }
    words.extend(flags);
    bind(parse(words).unwrap()).unwrap()
}

/// A plain tonic channel to a gRPC port.
pub fn channel(address: SocketAddr) -> Channel {
    Endpoint::from(url(address)).connect_lazy()
}

fn url(address: SocketAddr) -> Uri {
    format!("http://{address}").parse().unwrap()
}
