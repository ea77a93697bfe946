//! What is known of a service from its command line.

use std::net::SocketAddr;

use clap::{Arg, Command};
use serde::Serialize;
use vitalmesh_chassis::default_address;

use crate::mesh::default_url;
use crate::{Entry, SERVICES};

/// The name of the service that receives the heartbeats of all others.
const EDGE: &str = "edge";

/// A service as programs see it, also those in other languages: `mesh services --json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ServiceInfo {
    /// The service's name: of its program, its Prometheus job and its heartbeats.
    pub name: &'static str,
    /// The Cargo package.
    pub package: String,
    /// The container image.
    pub image: String,
    /// One line, the description of the Cargo package.
    pub description: String,
    /// The label `role` of its metrics.
    pub role: Role,
    /// The default port of gRPC.
    pub grpc_port: u16,
    /// The default port of REST, where the service has it.
    pub http_port: Option<u16>,
    /// The default port of metrics and health pages.
    pub scrape_port: u16,
    /// Whether the service stores data in `--data-dir`.
    pub keeps_data: bool,
    /// Whether the service sends heartbeats to the edge.
    pub sends_heartbeats: bool,
    /// The services that it calls.
    pub upstreams: Vec<Upstream>,
}

/// The role of a service in the mesh.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Receives heartbeats and is the REST entry of the mesh.
    Edge,
    /// Every other service.
    Leaf,
}

/// A setting that is the URL of another service of the mesh.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Upstream {
    /// The name of the other service.
    pub service: &'static str,
    /// The flag of the URL, such as `--time-url`.
    pub flag: String,
    /// The environment variable of the URL, such as `TIME_URL`.
    pub variable: String,
}

// === impl ServiceInfo ===

impl ServiceInfo {
    /// Every service of the list.
    pub fn all() -> Vec<Self> {
        SERVICES.iter().map(Self::of).collect()
    }

    fn of(entry: &Entry) -> Self {
        let command = entry.command();
        let name = entry.name();
        let about = command.get_about().map(ToString::to_string);
        let port = |id| setting(&command, id).and_then(default_address);
        Self {
            name,
            package: format!("vitalmesh-{name}"),
            image: format!("vitalmesh/{name}"),
            description: about.unwrap_or_default(),
            role: match name {
                EDGE => Role::Edge,
                _ => Role::Leaf,
            },
            grpc_port: port("grpc_address").map_or(0, |address| address.port()),
            http_port: port("http_address").map(|address| address.port()),
            scrape_port: port("scrape_address").map_or(0, |address| address.port()),
            keeps_data: setting(&command, "data_dir").is_some(),
            sends_heartbeats: setting(&command, "heartbeat_cron").is_some(),
            upstreams: command.get_arguments().filter_map(Upstream::of).collect(),
        }
    }
}

fn setting<'a>(command: &'a Command, id: &str) -> Option<&'a Arg> {
    command.get_arguments().find(|arg| arg.get_id() == id)
}

// === impl Role ===

impl Role {
    /// The label's value.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Edge => "edge",
            Self::Leaf => "leaf",
        }
    }
}

// === impl Upstream ===

impl Upstream {
    /// The service whose gRPC port is the port of the setting's default.
    fn of(setting: &Arg) -> Option<Self> {
        let default = default_url(setting)?;
        let serves_it = |entry: &&Entry| grpc_address(entry) == Some(default);
        Some(Self {
            service: SERVICES.iter().find(serves_it)?.name(),
            flag: format!("--{}", setting.get_long()?),
            variable: setting.get_env()?.to_str()?.to_owned(),
        })
    }
}

fn grpc_address(entry: &Entry) -> Option<SocketAddr> {
    default_address(setting(&entry.command(), "grpc_address")?)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_list_is_sorted_and_no_two_services_share_a_name_or_a_port() {
        let services = ServiceInfo::all();
        let names: Vec<_> = services.iter().map(|service| service.name).collect();
        let sorted: BTreeSet<_> = names.iter().copied().collect();
        assert_eq!(names, sorted.into_iter().collect::<Vec<_>>());
        let ports: Vec<_> = services
            .iter()
            .flat_map(|service| {
                let ports = [service.grpc_port, service.scrape_port];
                ports.into_iter().chain(service.http_port)
            })
            .collect();
        let distinct: BTreeSet<_> = ports.iter().copied().collect();
        assert_eq!(distinct.len(), ports.len(), "{ports:?}");
        assert!(!distinct.contains(&0), "{ports:?}");
    }

    #[test]
    fn one_service_is_the_edge_and_those_with_heartbeats_call_it() {
        let services = ServiceInfo::all();
        let edges = services.iter().filter(|service| service.role == Role::Edge);
        let edges: Vec<_> = edges.map(|service| service.name).collect();
        assert_eq!(edges, [EDGE]);
        for service in services {
            let calls_edge = service.upstreams.iter().any(|it| it.service == EDGE);
            assert_eq!(service.sends_heartbeats, calls_edge, "{}", service.name);
        }
    }

    #[test]
    fn a_service_is_known_by_its_own_settings() {
        let services = ServiceInfo::all();
        let edge = services
            .iter()
            .find(|service| service.name == EDGE)
            .unwrap();
        let upstream = |service, flag: &str, variable: &str| Upstream {
            service,
            flag: flag.to_owned(),
            variable: variable.to_owned(),
        };
        let expected = ServiceInfo {
            name: "edge",
            package: "vitalmesh-edge".to_owned(),
            image: "vitalmesh/edge".to_owned(),
            description: edge.description.clone(),
            role: Role::Edge,
            grpc_port: 50053,
            http_port: Some(8012),
            scrape_port: 9995,
            keeps_data: true,
            sends_heartbeats: false,
            upstreams: vec![
                upstream("revert-name", "--revert-name-url", "REVERT_NAME_URL"),
                upstream("time", "--time-url", "TIME_URL"),
            ],
        };
        assert_eq!(*edge, expected);
        let time = services
            .iter()
            .find(|service| service.name == "time")
            .unwrap();
        assert_eq!((time.http_port, time.keeps_data), (None, false));
        assert_eq!(time.upstreams, [upstream(EDGE, "--edge-url", "EDGE_URL")]);
    }
}
