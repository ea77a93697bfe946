//! Files that are generated from the list of services: some whole, some in marked regions.
//!
//! A region is between a line with `begin generated (just generate): <region>` and a line with
//! `end generated`, both comments of the file's format.

use std::path::{Path, PathBuf};

use vitalmesh_services::{ServiceInfo, expected_services};

const BEGIN: &str = "begin generated (just generate): ";
const END: &str = "end generated";

/// Files with generated regions.
const FILES: [&str; 6] = [
    "README.md",
    "deploy/prometheus/rules/alerts.yml",
    "deploy/prometheus/tests/mesh.yml",
    "deploy/prometheus/tests/silence.yml",
    "docker-compose.yml",
    "prometheus.yml",
];
/// The output of `mesh services --json`, for scripts that have no program at hand.
pub const LIST: &str = "deploy/services.json";

/// The text that each generated file should have, by path below `root`.
///
/// # Panics
///
/// Where a file cannot be read or a region has no end.
pub fn generated(root: &Path) -> Vec<(PathBuf, String)> {
    let services = ServiceInfo::all();
    let with_regions = FILES.iter().map(|file| {
        let path = root.join(file);
        let text = std::fs::read_to_string(&path).unwrap();
        let text = regenerated(&text, |region| lines(region, &services));
        (path, text)
    });
    let list = serde_json::to_string_pretty(&services).unwrap() + "\n";
    let list = (root.join(LIST), list);
    with_regions.chain([list]).collect()
}

/// A text with its regions written anew, each as indented as the line where it begins.
fn regenerated(text: &str, lines: impl Fn(&str) -> Vec<String>) -> String {
    let mut anew = String::new();
    let mut rest = text.lines();
    while let Some(line) = rest.next() {
        anew += &format!("{line}\n");
        let Some((before, region)) = line.split_once(BEGIN) else {
            continue;
        };
        let indent = &before[..before.len() - before.trim_start().len()];
        for line in lines(region.trim_end_matches("-->").trim_end()) {
            anew += &format!("{indent}{line}\n");
        }
        let end = rest.find(|line| line.contains(END));
        anew += &format!("{}\n", end.expect("a generated region has an end"));
    }
    anew
}

/// The lines of a region.
fn lines(region: &str, services: &[ServiceInfo]) -> Vec<String> {
    let names = services.iter().map(|service| service.name);
    match region {
        "absent services" => {
            let first = ["", "or "].into_iter().chain(std::iter::repeat("or "));
            let absent = |(or, name)| format!("{or}absent(up{{job=\"{name}\"}})");
            first.zip(names).map(absent).collect()
        }
        "expected services" => vec![format!("EXPECTED_SERVICES: {}", expected_services())],
        "scrape jobs" => services.iter().flat_map(scrape_job).collect(),
        "table of services" => table(services),
        _ => series(region, names),
    }
}

fn scrape_job(service: &ServiceInfo) -> [String; 2] {
    let ServiceInfo {
        name, scrape_port, ..
    } = service;
    let role = service.role.as_str();
    [
        format!("- job_name: {name}"),
        format!(
            "  static_configs: [{{targets: [\"{name}:{scrape_port}\"], labels: {{role: {role}}}}}]"
        ),
    ]
}

fn table(services: &[ServiceInfo]) -> Vec<String> {
    let head = [
        "| service | gRPC | HTTP | scrape | does |",
        "|---|---|---|---|---|",
    ];
    let row = |service: &ServiceInfo| {
        let ServiceInfo {
            name,
            grpc_port,
            scrape_port,
            description,
            ..
        } = service;
        let http = service
            .http_port
            .map(|port| format!("{port} "))
            .unwrap_or_default();
        format!("| {name} | {grpc_port} | {http}| {scrape_port} | {description} |")
    };
    head.map(str::to_owned)
        .into_iter()
        .chain(services.iter().map(row))
        .collect()
}

/// `up <values>[ without <name>, <name>…]`: an input of promtool's rule tests.
fn series<'a>(region: &str, names: impl Iterator<Item = &'a str>) -> Vec<String> {
    let up = region.strip_prefix("up ");
    let up = up.unwrap_or_else(|| panic!("no generated region is called {region:?}"));
    let (values, without) = up.split_once(" without ").unwrap_or((up, ""));
    let without: Vec<_> = without.split(", ").collect();
    let series = |name: &str| {
        let initial = &name[..1];
        format!("- {{series: 'up{{job=\"{name}\",instance=\"{initial}1\"}}', values: '{values}'}}")
    };
    names
        .filter(|name| !without.contains(name))
        .map(series)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_region_is_written_anew_as_indented_as_its_begin_and_the_rest_stays() {
        let text = "a\n  # begin generated (just generate): x y\n  old\n  older\n  # end generated\nb\n\
                    <!-- begin generated (just generate): z -->\n<!-- end generated -->\n";
        let anew = regenerated(text, |region| {
            vec![format!("new {region}"), "line".to_owned()]
        });
        let expected = "a\n  # begin generated (just generate): x y\n  new x y\n  line\n  # end generated\nb\n\
                        <!-- begin generated (just generate): z -->\nnew z\nline\n<!-- end generated -->\n";
        assert_eq!(anew, expected);
        assert_eq!(regenerated(expected, |_| vec![]).matches("new").count(), 0);
    }

    #[test]
    #[should_panic(expected = "a generated region has an end")]
    fn a_region_without_an_end_is_an_error() {
        regenerated("# begin generated (just generate): x\n", |_| vec![]);
    }

    #[test]
    #[should_panic(expected = "no generated region is called \"scrape\"")]
    fn an_unknown_region_is_an_error() {
        lines("scrape", &ServiceInfo::all());
    }

    #[test]
    fn series_are_those_of_all_services_but_some() {
        let names = ["counter", "edge", "time"];
        let expected = [
            r#"- {series: 'up{job="counter",instance="c1"}', values: '1x48'}"#,
            r#"- {series: 'up{job="time",instance="t1"}', values: '1x48'}"#,
        ];
        assert_eq!(series("up 1x48 without edge", names.into_iter()), expected);
        assert_eq!(series("up 1x48", names.into_iter()).len(), 3);
    }
}
