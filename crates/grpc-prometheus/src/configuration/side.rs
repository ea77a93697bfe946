//! The two sides of a call, for the builder.

use super::metrics::{ClientMetrics, ServerMetrics};
use crate::{recording::Registration, series::Side};

/// [`ServerMetrics`] or [`ClientMetrics`].
pub trait Metric: sealed::Sealed {}

impl Metric for ServerMetrics {}
impl Metric for ClientMetrics {}

mod sealed {
    use super::{ClientMetrics, Registration, ServerMetrics, Side};

    pub trait Sealed {
        const SIDE: Side;
        #[expect(
            private_interfaces,
            reason = "the trait cannot be named outside of this module"
        )]
        fn new(registration: &'static Registration) -> Self;
    }

    impl Sealed for ServerMetrics {
        const SIDE: Side = Side::Server;
        #[expect(
            private_interfaces,
            reason = "the trait cannot be named outside of this module"
        )]
        fn new(registration: &'static Registration) -> Self {
            Self::new(registration)
        }
    }

    impl Sealed for ClientMetrics {
        const SIDE: Side = Side::Client;
        #[expect(
            private_interfaces,
            reason = "the trait cannot be named outside of this module"
        )]
        fn new(registration: &'static Registration) -> Self {
            Self::new(registration)
        }
    }
}
