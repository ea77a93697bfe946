//! `mesh services`: the list of the mesh's services, as a table or as JSON.

use std::fmt::Write;

use vitalmesh_chassis::BoxError;
use vitalmesh_services::ServiceInfo;

/// The flags of `mesh services`.
#[derive(clap::Args, Debug)]
pub(crate) struct Services {
    /// Print JSON, with everything that programs need to know of each service
    #[arg(long)]
    json: bool,
}

// === impl Services ===

impl Services {
    pub(crate) fn run(self) -> Result<(), BoxError> {
        let services = ServiceInfo::all();
        match self.json {
            true => println!("{}", serde_json::to_string_pretty(&services)?),
            false => print!("{}", table(&services)),
        }
        Ok(())
    }
}

fn table(services: &[ServiceInfo]) -> String {
    let mut table = row(
        "name",
        ["gRPC", "HTTP", "scrape"],
        ["data", "beats"],
        "description",
    );
    for service in services {
        let http = service
            .http_port
            .map_or_else(|| "-".to_owned(), |port| port.to_string());
        let ports = [
            service.grpc_port.to_string(),
            http,
            service.scrape_port.to_string(),
        ];
        table += &row(
            service.name,
            ports.each_ref().map(String::as_str),
            [service.keeps_data, service.sends_heartbeats].map(yes_or_no),
            &service.description,
        );
    }
    table
}

fn row(name: &str, ports: [&str; 3], has: [&str; 2], description: &str) -> String {
    let ([grpc, http, scrape], [data, beats]) = (ports, has);
    let mut row = String::new();
    let _ = writeln!(
        row,
        "{name:12} {grpc:>6} {http:>6} {scrape:>6}  {data:4}  {beats:5}  {description}"
    );
    row
}

const fn yes_or_no(is_so: bool) -> &'static str {
    match is_so {
        true => "yes",
        false => "no",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_a_line_per_service() {
        let services = ServiceInfo::all();
        let table = table(&services);
        let lines: Vec<_> = table.lines().collect();
        assert_eq!(lines.len(), services.len() + 1);
        assert_eq!(
            lines[0],
            "name           gRPC   HTTP scrape  data  beats  description"
        );
        let edge = services.iter().position(|service| service.name == "edge");
        let edge = edge.unwrap();
        let expected = "edge          50053   8012   9995  yes   no     ";
        assert_eq!(
            lines[edge + 1],
            format!("{expected}{}", services[edge].description)
        );
        let time = lines.iter().find(|line| line.starts_with("time "));
        assert!(
            time.unwrap()
                .starts_with("time          50051      -   9999  no    yes    ")
        );
    }
}
