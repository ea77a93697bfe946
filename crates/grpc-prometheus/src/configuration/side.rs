//! The two sides of a call, for the builder, and the options that one side has.

use std::time::Duration;

use super::{
    builder::Builder,
    metrics::{ClientMetrics, ServerMetrics},
};
use crate::{
    recording::Registration,
    series::{Buckets, Side},
};

/// [`ServerMetrics`] or [`ClientMetrics`].
pub trait Metric: sealed::Sealed {}

impl Metric for ServerMetrics {}
impl Metric for ClientMetrics {}

// === impl Builder ===

impl Builder<ServerMetrics> {
    /// The server's own timeout for calls, such as that of tonic's `Server::timeout`: cancellations
    /// after it count as `DeadlineExceeded`, like those after a call's `grpc-timeout`. Default:
    /// none.
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }
}

impl Builder<ClientMetrics> {
    /// Enables `grpc_client_msg_recv_handling_seconds`, the time that the reader waits for each
    /// message, and `grpc_client_msg_send_handling_seconds`, the time that each message waits until
    /// the transport polls for the next one. Default: off. [`Buckets::Fine`] has the usual bounds.
    pub fn message_times(mut self, buckets: Buckets) -> Self {
        self.message_times = Some(buckets);
        self
    }
}

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
