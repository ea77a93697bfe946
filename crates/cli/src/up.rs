//! `mesh up`: every service in one process, on the ports that it would have alone.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use vitalmesh_chassis::{Addresses, Bound, BoxError, Service, StartError, bind, log, parse};

use crate::prometheus::{self, Prometheus};

/// The flags of `mesh up`.
#[derive(clap::Args, Debug)]
pub(crate) struct Up {
    /// The address that every port is bound to
    #[arg(long, default_value = "127.0.0.1")]
    bind: IpAddr,

    /// The folder for the databases and Prometheus' data
    #[arg(long, default_value = "data")]
    data_dir: PathBuf,

    /// Also run the `prometheus` program on port 9090, if it is installed
    #[arg(long)]
    prometheus: bool,
}

/// Every service with its ports bound.
pub(crate) struct Mesh {
    bookstore: Bound<vitalmesh_bookstore::Config>,
    counter: Bound<vitalmesh_counter::Config>,
    edge: Bound<vitalmesh_edge::Config>,
    revert_name: Bound<vitalmesh_revert_name::Config>,
    time: Bound<vitalmesh_time::Config>,
}

// === impl Up ===

impl Up {
    pub(crate) fn run(self) -> Result<(), BoxError> {
        let mesh = Mesh::bind(self.bind, &self.data_dir)?;
        log(mesh.edge.settings());
        let targets = mesh.targets();
        let prometheus = match self.prometheus {
            true => Prometheus::start(&targets, &self.data_dir, self.bind)?,
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
        for (name, addresses) in mesh.services() {
            let Addresses { grpc, scrape, .. } = addresses;
            println!("  {name:12} gRPC {grpc:16} metrics http://{scrape}/metrics");
        }
        if let Some(edge) = mesh.http() {
            println!("\nTry:");
            println!("  curl http://{edge}/proxy/Ana");
            println!("  curl http://{edge}/proxy/not_found     a fault on demand");
            println!("  curl http://{edge}/heartbeats          who was seen last, and when");
        }
        if let Some(counter) = mesh.counter.addresses().http {
            println!("  curl http://{counter}/increase/41");
        }
        if let Some(bookstore) = mesh.bookstore.addresses().http {
            println!(
                "  curl http://{bookstore}/1000            a stream, of any length up to 10000000"
            );
            println!("  http://{bookstore}/                      books, to try in a browser");
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
    pub(crate) fn bind(ip: IpAddr, data_dir: &Path) -> Result<Self, BoxError> {
        let data_dir = data_dir.to_string_lossy();
        let http = SocketAddr::new(ip, 8012).to_string();
        let edge = [
            ("--http-address", http.as_str()),
            ("--data-dir", &data_dir),
            ("--revert-name-url", &url(ip, 50052)),
            ("--time-url", &url(ip, 50051)),
        ];
        let edge_url = url(ip, 50053);
        let leaf = [("--edge-url", edge_url.as_str())];
        let bookstore_http = SocketAddr::new(ip, 3333).to_string();
        let bookstore = [
            leaf[0],
            ("--http-address", bookstore_http.as_str()),
            ("--data-dir", &data_dir),
        ];
        let counter_http = SocketAddr::new(ip, 8014).to_string();
        let counter = [leaf[0], ("--http-address", counter_http.as_str())];
        Ok(Self {
            bookstore: bind(config(ip, &bookstore)?)?,
            counter: bind(config(ip, &counter)?)?,
            edge: bind(config(ip, &edge)?)?,
            revert_name: bind(config(ip, &leaf)?)?,
            time: bind(config(ip, &leaf)?)?,
        })
    }

    /// Where the edge serves REST.
    pub(crate) fn http(&self) -> Option<SocketAddr> {
        self.edge.addresses().http
    }

    fn services(&self) -> [(&'static str, Addresses); 5] {
        [
            (
                vitalmesh_bookstore::Config::NAME,
                self.bookstore.addresses(),
            ),
            (vitalmesh_counter::Config::NAME, self.counter.addresses()),
            (vitalmesh_edge::Config::NAME, self.edge.addresses()),
            (
                vitalmesh_revert_name::Config::NAME,
                self.revert_name.addresses(),
            ),
            (vitalmesh_time::Config::NAME, self.time.addresses()),
        ]
    }

    pub(crate) fn targets(&self) -> Vec<(&'static str, SocketAddr)> {
        let scrape = |(name, addresses): (_, Addresses)| (name, addresses.scrape);
        self.services().map(scrape).to_vec()
    }

    pub(crate) async fn start(self) -> Result<Vec<vitalmesh_chassis::Running>, StartError> {
        Ok(vec![
            self.bookstore.start().await?,
            self.counter.start().await?,
            self.edge.start().await?,
            self.revert_name.start().await?,
            self.time.start().await?,
        ])
    }
}

/// A service's configuration as its own command line would make it, on its own ports at `ip`.
fn config<S: Service>(ip: IpAddr, flags: &[(&str, &str)]) -> Result<S, BoxError> {
    let at = |default: &str| -> Result<String, BoxError> {
        let port = default.parse::<SocketAddr>()?.port();
        Ok(SocketAddr::new(ip, port).to_string())
    };
    let (grpc, scrape) = (at(S::GRPC_ADDRESS)?, at(S::SCRAPE_ADDRESS)?);
    let mut words = vec![
        S::NAME,
        "--grpc-address",
        &grpc,
        "--scrape-address",
        &scrape,
    ];
    words.extend(flags.iter().flat_map(|(flag, value)| [*flag, *value]));
    parse(words).map_err(|error| StartError::setting(S::NAME, &error).into())
}

/// Where the process reaches its own port.
fn url(ip: IpAddr, port: u16) -> String {
    let ip = match ip {
        IpAddr::V4(v4) if v4.is_unspecified() => IpAddr::from([127, 0, 0, 1]),
        IpAddr::V6(v6) if v6.is_unspecified() => IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1]),
        ip => ip,
    };
    format!("http://{}", SocketAddr::new(ip, port))
}
