//! A `prometheus` program beside the mesh, where one is installed.

use std::fmt::Write;
use std::fs;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use vitalmesh_chassis::BoxError;

pub(crate) const HOW_TO_GET: &str = "prometheus is not installed: `apt-get install prometheus`, \
                                     or its release from prometheus.io, then run this again.";
const PORT: u16 = 9090;
/// A version that has it without being asked only warns.
const EXEMPLARS: &str = "--enable-feature=exemplar-storage";
const RULES: [(&str, &str); 2] = [
    (
        "recording.yml",
        include_str!("../../../deploy/prometheus/rules/recording.yml"),
    ),
    (
        "alerts.yml",
        include_str!("../../../deploy/prometheus/rules/alerts.yml"),
    ),
];

/// As in the prometheus.yml of docker-compose.
const HEAD: &str = "global:
  scrape_interval: 5s
  scrape_timeout: 4s
  evaluation_interval: 5s
rule_files:
  - rules/*.yml
scrape_configs:
";

/// The running program; it is asked to end when this is dropped.
#[derive(Debug)]
pub(crate) struct Prometheus {
    child: Child,
    address: SocketAddr,
}

impl Prometheus {
    /// Starts the program on port 9090 of `ip` with `targets` by job name and the mesh's rules;
    /// `None` where it is not installed. Its data and log are in a folder of its own below
    /// `data_dir`.
    pub(crate) fn start(
        targets: &[(&str, SocketAddr)],
        data_dir: &Path,
        ip: IpAddr,
    ) -> Result<Option<Self>, BoxError> {
        let address = SocketAddr::new(ip, PORT);
        let folder = data_dir.join("prometheus");
        let rules = folder.join("rules");
        fs::create_dir_all(&rules)?;
        for (name, text) in RULES {
            fs::write(rules.join(name), text)?;
        }
        let config = folder.join("prometheus.yml");
        fs::write(&config, configuration(targets))?;
        // It would end at once and only its log would say why.
        std::net::TcpListener::bind(address)
            .map_err(|error| format!("prometheus: cannot listen on {address}: {error}"))?;
        let started = Command::new("prometheus")
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", folder.display()))
            .arg(format!("--web.listen-address={address}"))
            .arg(EXEMPLARS)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(folder.join("prometheus.log"))?)
            // Its own group: Ctrl-C reaches it through us, after the services have drained.
            .process_group(0)
            .spawn();
        match started {
            Ok(child) => Ok(Some(Self { child, address })),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(format!("prometheus: {error}").into()),
        }
    }

    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let pid = Pid::from_child(&self.child);
        if kill_process(pid, Signal::TERM).is_ok() {
            let _ = self.child.wait();
        }
    }
}

fn configuration(targets: &[(&str, SocketAddr)]) -> String {
    let mut yaml = String::from(HEAD);
    for (job, address) in targets {
        let _ = write!(
            yaml,
            "  - job_name: {job}\n    static_configs:\n      - targets: [\"{address}\"]\n"
        );
    }
    yaml
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configuration_is_that_of_docker_compose_but_for_addresses_and_paths() {
        let targets = [("edge", SocketAddr::from(([127, 0, 0, 1], 9995)))];
        let expected = "global:
  scrape_interval: 5s
  scrape_timeout: 4s
  evaluation_interval: 5s
rule_files:
  - rules/*.yml
scrape_configs:
  - job_name: edge
    static_configs:
      - targets: [\"127.0.0.1:9995\"]
";
        assert_eq!(configuration(&targets), expected);
        let global = include_str!("../../../prometheus.yml").split("\n\n").next();
        assert!(expected.starts_with(global.unwrap()));
    }

    #[test]
    fn the_features_are_those_of_docker_compose() {
        let compose = include_str!("../../../docker-compose.yml");
        let features = compose.lines().filter_map(|line| {
            let flag = line.trim().strip_prefix("- ")?;
            flag.starts_with("--enable-feature").then_some(flag)
        });
        assert_eq!(features.collect::<Vec<_>>(), [EXEMPLARS]);
    }

    #[test]
    fn every_file_of_rules_is_embedded() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy/prometheus/rules");
        let mut files: Vec<_> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        files.sort();
        let mut embedded = RULES.map(|(name, _)| name);
        embedded.sort_unstable();
        assert_eq!(files, embedded);
    }
}
