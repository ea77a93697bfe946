//! A scrape as values by series, and the difference between two.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use crate::get;

/// The values of a page by series, `name{label="value",…}`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Scrape(BTreeMap<String, f64>);

/// Scrapes a service.
///
/// # Panics
///
/// The response is not a page of metrics.
pub async fn scrape(address: SocketAddr) -> Scrape {
    let page = get(address, "/metrics").await;
    assert_eq!(page.status, 200, "{}", page.body);
    Scrape::parse(&page.body)
}

impl Scrape {
    /// Parses the text format.
    ///
    /// # Panics
    ///
    /// A line is invalid, or a series appears twice.
    pub fn parse(page: &str) -> Self {
        let mut series = BTreeMap::new();
        for line in page.lines().filter(|line| !line.starts_with('#')) {
            let (name, value) = line.rsplit_once(' ').unwrap();
            let twice = series.insert(name.to_owned(), value.parse().unwrap());
            assert_eq!(twice, None, "{name} comes twice");
        }
        Self(series)
    }

    /// The value of a series, written as on the page; `None` where it is missing.
    pub fn value(&self, series: &str) -> Option<f64> {
        self.0.get(series).copied()
    }

    /// The series that begin with this.
    pub fn of(&self, prefix: &str) -> Vec<&str> {
        let named = self.0.keys().filter(|series| series.starts_with(prefix));
        named.map(String::as_str).collect()
    }

    /// The increase of the counts of calls and requests since `before`, without durations, connections
    /// and unchanged series.
    pub fn calls_since(&self, before: &Self) -> BTreeMap<String, f64> {
        let families = ["grpc_server_", "grpc_client_", "http_"];
        let counts = self.0.iter().filter(|(series, _)| {
            let family = series.split('{').next().unwrap_or_default();
            families.iter().any(|prefix| family.starts_with(prefix))
                && !family.ends_with("_bucket")
                && !family.ends_with("_sum")
                && !family.starts_with("grpc_server_connections")
        });
        counts
            .map(|(series, value)| (series.clone(), value - before.value(series).unwrap_or(0.0)))
            .filter(|(_, moved)| *moved != 0.0)
            .collect()
    }
}
