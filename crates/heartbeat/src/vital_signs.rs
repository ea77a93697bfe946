//! The vital signs of a heartbeat, read from the metrics layer.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use grpc_prometheus::{ServerMetrics, Snapshot};
use tokio::time::Instant;
use tonic::Code;
use vitalmesh_proto::heartbeat::v1::VitalSigns;
use vitalmesh_status::is_fault;

/// Reads rates and latencies between two beats.
#[derive(Debug)]
pub(crate) struct VitalSignsReader {
    metrics: ServerMetrics,
    last: Mutex<(Instant, Snapshot)>,
}

// === impl VitalSignsReader ===

impl VitalSignsReader {
    pub(crate) fn new(metrics: ServerMetrics) -> Self {
        let first = (Instant::now(), metrics.snapshot());
        Self {
            metrics,
            last: Mutex::new(first),
        }
    }

    /// The vital signs since the last reading.
    pub(crate) fn read(&self) -> VitalSigns {
        let now = (Instant::now(), self.metrics.snapshot());
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let signs = signs(&last.1, &now.1, now.0 - last.0);
        *last = now;
        signs
    }
}

fn signs(before: &Snapshot, now: &Snapshot, elapsed: Duration) -> VitalSigns {
    let per_second = |count: u64| count as f64 / elapsed.as_secs_f64().max(1e-3);
    let buckets: Vec<_> = now
        .buckets
        .iter()
        .zip(before.buckets.iter().map(|(_, count)| count))
        .map(|((bound, count), before)| (*bound, count.saturating_sub(*before)))
        .collect();
    VitalSigns {
        requests_per_second: per_second(now.started.saturating_sub(before.started)),
        faults_per_second: per_second(faults(now).saturating_sub(faults(before))),
        latency_p50_seconds: quantile(&buckets, 0.5),
        latency_p99_seconds: quantile(&buckets, 0.99),
        calls_in_flight: now.in_flight,
        resident_memory_bytes: resident_memory().unwrap_or_default(),
    }
}

fn faults(snapshot: &Snapshot) -> u64 {
    let codes = (0..).map(Code::from_i32);
    let handled = codes.zip(snapshot.handled);
    let faults = handled.filter(|(code, _)| is_fault(*code));
    faults.map(|(_, count)| count).sum()
}

/// Like Prometheus' `histogram_quantile`: linear within a bucket, at most the last finite bound. In
/// the first bucket it is the bound, because values between 0 and there would be invented.
fn quantile(buckets: &[(Option<Duration>, u64)], quantile: f64) -> f64 {
    let total: u64 = buckets.iter().map(|(_, count)| count).sum();
    let rank = quantile * total as f64;
    let mut below = 0.0;
    let mut lower = buckets
        .first()
        .and_then(|(bound, _)| *bound)
        .map_or(0.0, |bound| bound.as_secs_f64());
    for (bound, count) in buckets {
        let (Some(bound), count) = (bound, *count as f64) else {
            break;
        };
        let upper = bound.as_secs_f64();
        if count > 0.0 && below + count >= rank {
            return lower + (upper - lower) * (rank - below) / count;
        }
        (below, lower) = (below + count, upper);
    }
    if total == 0 { 0.0 } else { lower }
}

/// From `/proc`; `None` elsewhere.
fn resident_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kib << 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_those_of_prometheus() {
        let ms = |ms| Some(Duration::from_millis(ms));
        let buckets = [(ms(10), 50), (ms(20), 40), (ms(40), 10), (None, 0)];
        assert_eq!(quantile(&buckets, 0.5), 0.01);
        assert_eq!(quantile(&buckets, 0.01), 0.01, "the first bound");
        assert!((quantile(&buckets, 0.7) - 0.015).abs() < 1e-9);
        assert!((quantile(&buckets, 0.99) - 0.038).abs() < 1e-9);
        assert_eq!(quantile(&[(ms(10), 0), (None, 5)], 0.5), 0.01);
        assert_eq!(quantile(&[(ms(10), 0), (ms(20), 4), (None, 0)], 0.5), 0.015);
        assert_eq!(quantile(&[(ms(10), 0), (None, 0)], 0.5), 0.0);
    }

    #[test]
    fn memory_is_read_on_linux() {
        assert!(resident_memory().unwrap() > 100_000);
    }
}
