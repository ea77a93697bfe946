//! `mesh up`: every service in one process, on the ports that it would have alone.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use vitalmesh_chassis::{Addresses, BoxError, Stages, StartError, log, parse_ip};
use vitalmesh_services::{BoundService, Role, ServiceInfo, bind_all};

use crate::prometheus::{self, Prometheus};

/// Requests to try, each with its service and what stands before and after the REST address.
const EXAMPLES: &[(&str, &str, &str)] = &[
    ("edge", "curl http://", "/proxy/Ana"),
    (
        "edge",
        "curl http://",
        "/proxy/not_found     a fault on demand",
    ),
    (
        "edge",
        "curl http://",
        "/heartbeats          the last heartbeat of each service",
    ),
    ("counter", "curl http://", "/increase/41"),
    (
        "bookstore",
        "curl http://",
        "/1000            a stream, of any length up to 10000000",
    ),
    (
        "bookstore",
        "http://",
        "/                      books, to try in a browser",
    ),
];

/// The ports are those of the services; only the IP is a setting.
const TAKEN_PORT: &str = "end the program that uses this port, or choose another IP with --bind, such \
                          as 127.0.0.2";

/// The flags of `mesh up`.
#[derive(clap::Args, Debug)]
pub(crate) struct Up {
    /// The address that every port is bound to
    #[arg(long, default_value = "127.0.0.1", value_parser = parse_ip)]
    bind: IpAddr,

    /// The folder for the databases and Prometheus' data
    #[arg(long, default_value = "data")]
    data_dir: PathBuf,

    /// Also run the `prometheus` program on port 9090, if it is installed
    #[arg(long)]
    prometheus: bool,
}

/// Every service with its ports bound.
#[derive(Debug)]
pub(crate) struct Mesh {
    services: Vec<BoundService>,
}

// === impl Up ===

impl Up {
    pub(crate) fn run(self) -> Result<(), BoxError> {
        let mesh = Mesh::bind(self.bind, &self.data_dir);
        let mesh = mesh.map_err(|error| error.advise(TAKEN_PORT))?;
        // The log's settings come from the environment, so all services have the same.
        if let Some(service) = mesh.services.first() {
            log(service.settings());
        }
        let prometheus = match self.prometheus {
            true => Prometheus::start(&mesh.targets(), &self.data_dir, self.bind)?,
            false => None,
        };
        self.welcome(&mesh, prometheus.as_ref());
        vitalmesh_chassis::run(mesh.start())
    }

    fn welcome(&self, mesh: &Mesh, prometheus: Option<&Prometheus>) {
        println!(
            "The mesh runs in this process, its data is in {}.\n",
            self.data_dir.display()
        );
        for service in &mesh.services {
            let Addresses { grpc, scrape, .. } = service.addresses();
            let name = service.name();
            println!("  {name:12} gRPC {grpc:16} metrics http://{scrape}/metrics");
        }
        println!("\nTry:");
        for (service, before, after) in EXAMPLES {
            if let Some(address) = mesh.http(service) {
                println!("  {before}{address}{after}");
            }
        }
        if let Some(prometheus) = prometheus {
            println!("  {}      Prometheus", prometheus.url());
        } else if self.prometheus {
            println!("\n{}", prometheus::HOW_TO_GET);
        }
        println!("\nCtrl-C stops it.\n");
    }
}

// === impl Mesh ===

impl Mesh {
    /// Binds all ports or none.
    pub(crate) fn bind(ip: IpAddr, data_dir: &Path) -> Result<Self, StartError> {
        let services = bind_all(ip, data_dir)?;
        Ok(Self { services })
    }

    /// The REST address of a service.
    pub(crate) fn http(&self, service: &str) -> Option<SocketAddr> {
        let mut services = self.services.iter();
        let found = services.find(|bound| bound.name() == service)?;
        found.addresses().http
    }

    /// The scrape address of each service, by its name.
    pub(crate) fn targets(&self) -> Vec<(&'static str, SocketAddr)> {
        let target = |service: &BoundService| (service.name(), service.addresses().scrape);
        self.services.iter().map(target).collect()
    }

    /// The edge stops before the leaves that it calls for its users.
    pub(crate) async fn start(self) -> Result<Stages, StartError> {
        let infos = ServiceInfo::all();
        let edges = infos.iter().filter(|service| service.role == Role::Edge);
        let edges: Vec<_> = edges.map(|service| service.name).collect();
        let (mut front, mut leaves) = (Vec::new(), Vec::new());
        for service in self.services {
            let stage = match edges.contains(&service.name()) {
                true => &mut front,
                false => &mut leaves,
            };
            stage.push(service.start().await?);
        }
        Ok(Stages::default().then(front).then(leaves))
    }
}
