//! Choices of bucket bounds.

/// Upper bounds of a histogram's buckets: seconds for times, bytes for sizes.
///
/// `+Inf` is added to every choice and must not be given.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub enum Buckets {
    /// 22 bounds from 10 µs to 10 s: all bounds of [`Go`](Self::Go) and [`Python`](Self::Python),
    /// and eight below 5 ms. The default for times.
    #[default]
    Fine,
    /// The 11 bounds of go-grpc-prometheus, 5 ms to 10 s.
    Go,
    /// The 14 bounds of the Python client and of py-grpc-prometheus, 5 ms to 10 s.
    Python,
    /// The 41 latency bounds of the gRPC OpenTelemetry proposal A66, 0 to 100 s.
    A66,
    /// The 14 size bounds of the gRPC OpenTelemetry proposal A66, 0 B to 4 GiB.
    A66Bytes,
    /// Custom bounds: at least one, finite, non-negative and strictly increasing. Each costs eight
    /// bytes per shard of every series, and one comparison for each value above it.
    Custom(Vec<f64>),
}

const GO: &[f64] = &[
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];
const PYTHON: &[f64] = &[
    0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0,
];
const FINE: &[f64] = &[
    0.00001, 0.000_025, 0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05,
    0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0,
];
const A66: &[f64] = &[
    0.0, 0.00001, 0.00005, 0.0001, 0.0003, 0.0006, 0.0008, 0.001, 0.002, 0.003, 0.004, 0.005,
    0.006, 0.008, 0.01, 0.013, 0.016, 0.02, 0.025, 0.03, 0.04, 0.05, 0.065, 0.08, 0.1, 0.13, 0.16,
    0.2, 0.25, 0.3, 0.4, 0.5, 0.65, 0.8, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0,
];
const A66_BYTES: &[f64] = &[
    0.0,
    1024.0,
    2048.0,
    4096.0,
    16384.0,
    65536.0,
    262_144.0,
    1_048_576.0,
    4_194_304.0,
    16_777_216.0,
    67_108_864.0,
    268_435_456.0,
    1_073_741_824.0,
    4_294_967_296.0,
];

// === impl Buckets ===

impl Buckets {
    pub(crate) fn bounds(&self) -> &[f64] {
        match self {
            Self::Fine => FINE,
            Self::Go => GO,
            Self::Python => PYTHON,
            Self::A66 => A66,
            Self::A66Bytes => A66_BYTES,
            Self::Custom(bounds) => bounds,
        }
    }

    pub(crate) fn are_valid(&self) -> bool {
        let bounds = self.bounds();
        !bounds.is_empty()
            && bounds
                .iter()
                .all(|bound| bound.is_finite() && *bound >= 0.0)
            && bounds.windows(2).all(|pair| pair[0] < pair[1])
    }
}
