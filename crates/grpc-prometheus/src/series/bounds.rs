//! Bucket bounds of a histogram: for counting and for printing.

use std::sync::Arc;

/// The bucket bounds of a histogram, for counting and for printing.
#[derive(Clone, Debug)]
pub(crate) struct Bounds {
    /// In seconds or bytes, without `+Inf`.
    pub(crate) upper: Box<[f64]>,
    /// In whole nanoseconds or bytes, inclusive.
    units: Box<[u64]>,
    /// Nanoseconds per second, or 1 for bytes.
    pub(crate) scale: f64,
    /// `,le="…"} ` for each bucket, including `+Inf`, in both formats.
    pub(crate) text: Arc<[String]>,
    pub(crate) openmetrics: Arc<[String]>,
}

// === impl Bounds ===

impl Bounds {
    pub(crate) fn seconds(upper: &[f64]) -> Self {
        Self::new(upper, 1e9)
    }

    pub(crate) fn bytes(upper: &[f64]) -> Self {
        Self::new(upper, 1.0)
    }

    fn new(upper: &[f64], scale: f64) -> Self {
        // Values are integers, so bounds are rounded down. Bounds such as 0.0003 s, which have no
        // exact binary form, are rounded to the nearest integer first.
        let unit = |bound: &f64| {
            let units = bound * scale;
            let near = units.round();
            let exact = (near - units).abs() < 1e-3;
            (if exact { near } else { units.floor() }) as u64
        };
        let label = |bound| format!(",le=\"{bound}\"}} ");
        let labels = |bounds: Vec<String>| bounds.into_iter().chain(["+Inf".into()]).map(label);
        let text = upper.iter().map(f64::to_string).collect();
        let openmetrics = upper.iter().copied().map(canonical).collect();
        Self {
            upper: upper.into(),
            units: upper.iter().map(unit).collect(),
            scale,
            text: labels(text).collect(),
            openmetrics: labels(openmetrics).collect(),
        }
    }

    pub(crate) const fn units(&self) -> &[u64] {
        &self.units
    }
}

/// Formats a number as an OpenMetrics "canonical number": with a point or an exponent.
pub(crate) fn canonical(value: f64) -> String {
    if value != 0.0 && value.is_finite() && !(1e-4..1e6).contains(&value.abs()) {
        let scientific = format!("{value:e}");
        let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
        return match exponent.strip_prefix('-') {
            Some(exponent) => format!("{mantissa}e-{exponent:0>2}"),
            None => format!("{mantissa}e+{exponent:0>2}"),
        };
    }
    format!("{value:?}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_canonical() {
        for (value, expected) in [
            (0.0, "0.0"),
            (0.00001, "1e-05"),
            (0.000_25, "0.00025"),
            (0.5, "0.5"),
            (1.0, "1.0"),
            (1024.0, "1024.0"),
            (262_144.0, "262144.0"),
            (1_048_576.0, "1.048576e+06"),
            (4_294_967_296.0, "4.294967296e+09"),
        ] {
            assert_eq!(canonical(value), expected);
        }
    }
}
