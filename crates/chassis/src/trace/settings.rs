//! The settings of tracing, under the names that OpenTelemetry gives them.

use std::str::FromStr;

use http::Uri;

use crate::config::service_url;

/// Where spans and log lines go, and of how many traces there are spans.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct TraceSettings {
    /// The OpenTelemetry collector that spans and log lines are sent to by OTLP over gRPC, such as
    /// http://127.0.0.1:4317 [default: none, no spans]
    #[arg(
        long,
        env = "OTEL_EXPORTER_OTLP_ENDPOINT",
        default_value = "",
        hide_default_value = true
    )]
    pub otlp_endpoint: Collector,

    /// The share of the traces beginning here that is recorded, 0 to 1; others go by their caller
    #[arg(long, env = "OTEL_TRACES_SAMPLER_ARG", default_value = "1")]
    pub trace_ratio: Ratio,
}

/// A collector's URL; set to an empty text it is none, as if it were not set.
#[derive(Clone, Debug, Default)]
pub struct Collector(Option<Uri>);

/// A share of traces, taken by their ids, so that services with one ratio take the same ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ratio {
    /// How many of the 2^63 values of an id's low bits, without the lowest, are taken.
    taken: u64,
}

// === impl TraceSettings ===

impl TraceSettings {
    pub(crate) const fn collector(&self) -> Option<&Uri> {
        self.otlp_endpoint.0.as_ref()
    }
}

// === impl Collector ===

impl FromStr for Collector {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "" => Ok(Self(None)),
            url => service_url(url)
                .map(|url| Self(Some(url)))
                .map_err(|_| "expected a URL such as http://127.0.0.1:4317".to_owned()),
        }
    }
}

// === impl Ratio ===

impl Ratio {
    const ALL: u64 = 1 << 63;

    pub(super) const fn takes(self, trace_id: u128) -> bool {
        // The low 64 bits are random in every version of the W3C standard.
        let low = trace_id as u64;
        low >> 1 < self.taken
    }
}

impl FromStr for Ratio {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let ratio: Option<f64> = text.parse().ok();
        match ratio.filter(|ratio| (0.0..=1.0).contains(ratio)) {
            Some(ratio) => Ok(Self {
                taken: (ratio * Self::ALL as f64) as u64,
            }),
            None => Err("expected a number from 0 to 1 such as 0.1".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ratio_takes_its_share_of_the_ids_and_the_same_ones_each_time() {
        let ratio = |text: &str| text.parse::<Ratio>().unwrap();
        let taken = |ratio: Ratio| {
            (0..10_000)
                .filter(|_| ratio.takes(fastrand::u128(..)))
                .count()
        };
        assert_eq!(taken(ratio("0")), 0);
        assert_eq!(taken(ratio("1")), 10_000);
        let tenth = taken(ratio("0.1"));
        assert!((800..1200).contains(&tenth), "{tenth}");
        assert!(ratio("1").takes(u128::MAX));
        assert!(!ratio("0").takes(0));
        assert!(ratio("0.5").takes((u64::MAX / 2).into()));
        assert!(!ratio("0.5").takes(u64::MAX.into()));
    }

    #[test]
    fn a_ratio_or_a_url_that_is_none_is_refused_with_an_example() {
        for wrong in ["", "-0.1", "1.1", "NaN", "all"] {
            let error = wrong.parse::<Ratio>().unwrap_err();
            assert!(error.contains("0.1"), "{wrong}");
        }
        for wrong in ["collector:4317", "https://a:1", "http://a:1/v1/traces"] {
            let error = wrong.parse::<Collector>().unwrap_err();
            assert!(error.contains("http://127.0.0.1:4317"), "{wrong}");
        }
        assert!("".parse::<Collector>().unwrap().0.is_none());
        let collector = "http://collector:4317".parse::<Collector>().unwrap();
        assert_eq!(collector.0.unwrap().port_u16(), Some(4317));
    }
}
