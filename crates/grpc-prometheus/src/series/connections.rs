//! Counters of a server's connections.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::SystemTime,
};

#[derive(Debug)]
pub(crate) struct Connections {
    /// When the counters were zero.
    pub(crate) created: SystemTime,
    opened: AtomicU64,
    closed: AtomicU64,
}

// === impl Connections ===

impl Connections {
    pub(crate) fn new() -> Self {
        Self {
            created: SystemTime::now(),
            opened: AtomicU64::new(0),
            closed: AtomicU64::new(0),
        }
    }

    /// Returns the numbers of opened and closed connections. The latter is never greater.
    pub(crate) fn read(&self) -> (u64, u64) {
        // `Acquire` pairs with the `Release` in `close`, so the opening of each counted closing is
        // visible.
        let closed = self.closed.load(Ordering::Acquire);
        let opened = self.opened.load(Ordering::Relaxed);
        (opened, closed)
    }

    pub(crate) fn open(&self) {
        self.opened.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn close(&self) {
        self.closed.fetch_add(1, Ordering::Release);
    }
}
