//! Tracing settings, named as OpenTelemetry names them.

use std::str::FromStr;

use http::Uri;

use vitalmesh_transport::service_url;

/// Where spans and log lines are exported, and the sampling ratio.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct TraceSettings {
    /// The OpenTelemetry collector that receives spans and log lines by OTLP over gRPC, such as
    /// http://127.0.0.1:4317 [default: none, nothing is exported]
    #[arg(
        long,
        env = "OTEL_EXPORTER_OTLP_ENDPOINT",
        value_name = "OTEL_EXPORTER_OTLP_ENDPOINT",
        default_value = "",
        hide_default_value = true
    )]
    pub otlp_endpoint: Collector,

    /// The share of root traces to record, 0 to 1; other traces keep their caller's decision
    #[arg(
        long,
        env = "OTEL_TRACES_SAMPLER_ARG",
        value_name = "OTEL_TRACES_SAMPLER_ARG",
        default_value = "1"
    )]
    pub trace_ratio: Ratio,
}

/// The URL of a collector. An empty text means no collector.
#[derive(Clone, Debug, Default)]
pub struct Collector(Option<Uri>);

/// A share of traces, from 0 to 1, selected by trace id: services with the same ratio select the
/// same traces.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ratio {
    /// How many of the 2^63 values of the id's bits 1 to 63 are selected.
    selected: u64,
}

// === impl TraceSettings ===

impl TraceSettings {
    /// The collector's URL, if one is set.
    pub const fn collector(&self) -> Option<&Uri> {
        self.otlp_endpoint.0.as_ref()
    }
}

// === impl Collector ===

impl FromStr for Collector {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.trim() {
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

    pub(super) const fn selects(self, trace_id: u128) -> bool {
        // Every version of the W3C standard makes the low 64 bits random.
        let low = trace_id as u64;
        low >> 1 < self.selected
    }
}

impl FromStr for Ratio {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let ratio: Option<f64> = text.parse().ok();
        match ratio.filter(|ratio| (0.0..=1.0).contains(ratio)) {
            Some(ratio) => Ok(Self {
                selected: (ratio * Self::ALL as f64) as u64,
            }),
            None => Err("expected a number from 0 to 1 such as 0.1".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ratio_selects_its_share_of_ids_and_the_same_ones_each_time() {
        let ratio = |text: &str| text.parse::<Ratio>().unwrap();
        let selected = |ratio: Ratio| {
            (0..10_000)
                .filter(|_| ratio.selects(fastrand::u128(..)))
                .count()
        };
        assert_eq!(selected(ratio("0")), 0);
        assert_eq!(selected(ratio("1")), 10_000);
        let tenth = selected(ratio("0.1"));
        assert!((800..1200).contains(&tenth), "{tenth}");
        assert!(ratio("1").selects(u128::MAX));
        assert!(!ratio("0").selects(0));
        assert!(ratio("0.5").selects((u64::MAX / 2).into()));
        assert!(!ratio("0.5").selects(u64::MAX.into()));
    }

    #[test]
    fn an_invalid_ratio_or_url_is_rejected_with_an_example() {
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
