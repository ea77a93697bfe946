//! Counts of a server's connections.

use std::sync::atomic::{AtomicU64, Ordering};

#[derive(Debug, Default)]
pub(crate) struct Connections {
    opened: AtomicU64,
    closed: AtomicU64,
}

// === impl Connections ===

impl Connections {
    /// Opened and closed; never more closed than opened.
    pub(crate) fn read(&self) -> (u64, u64) {
        // Each close follows its open, so the `Acquire` here shows the open of each close seen.
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
