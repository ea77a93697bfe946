//! The roles of a layer, as types: a client's calls carry nothing that only a server needs.

use std::fmt;

use super::reset::ResetFlag;
use crate::series::Side;

/// Marks the types of a server's calls.
#[derive(Clone, Copy, Debug)]
pub struct Server;

/// Marks the types of a client's calls.
#[derive(Clone, Copy, Debug)]
pub struct Client;

/// [`Server`] or [`Client`].
pub trait Role: sealed::Role {}

pub(crate) mod sealed {
    use super::{ResetState, Side};

    pub trait Role: Copy + std::fmt::Debug + Send + Sync + Unpin + 'static {
        const SIDE: Side;
        type Reset: ResetState;
    }
}

/// The reset flag of a call, in roles that have one.
pub trait ResetState: Copy + fmt::Debug + Send + Sync + Unpin + 'static {
    const NONE: Self;

    fn open() -> Self;
    fn flag(self) -> Option<ResetFlag>;
    fn close(self);
}

// === impl Server ===

impl Role for Server {}

impl sealed::Role for Server {
    const SIDE: Side = Side::Server;
    type Reset = Option<ResetFlag>;
}

// === impl Client ===

impl Role for Client {}

impl sealed::Role for Client {
    const SIDE: Side = Side::Client;
    type Reset = ();
}

// === impl ResetState ===

impl ResetState for Option<ResetFlag> {
    const NONE: Self = None;

    #[inline]
    fn open() -> Self {
        Some(ResetFlag::open())
    }

    #[inline]
    fn flag(self) -> Option<ResetFlag> {
        self
    }

    #[inline]
    fn close(self) {
        if let Some(flag) = self {
            flag.close();
        }
    }
}

/// No flag.
impl ResetState for () {
    const NONE: Self = ();

    #[inline]
    fn open() {}

    #[inline]
    fn flag(self) -> Option<ResetFlag> {
        None
    }

    #[inline]
    fn close(self) {}
}
