//! Whether the request of a call was reset: one flag for each open call.
//!
//! tonic turns a reset of the request body into a clean end of the stream, so a handler may answer
//! a caller that has gone. The request body and the response of a call live apart, perhaps in
//! different tasks. They share a flag in a slot that the call borrows from [`flag_pool`], and that
//! goes back when the response future or the response body is dropped.
//!
//! # Memory ordering
//!
//! The word of a slot is even while the flag is unset, odd while it is set, and grows with each
//! borrowing. Only the owner stores the next even value; all others exchange the even value of
//! their own handle for the odd one. So a handle of an ended call neither reads nor sets the flag
//! of a later one.
//!
//! [`flag_pool`]: super::flag_pool

use std::{
    fmt,
    sync::atomic::{AtomicU64, Ordering},
};

use http::Extensions;

use super::flag_pool;

/// Tells whether a server's request was reset, by its caller or with its connection, while the
/// service read its body: nobody then receives the response.
///
/// Two words to copy, handed out by
/// [`ServerLayer::share_reset`](crate::ServerLayer::share_reset). Unset again, for good, once the
/// call's response future or response body is dropped.
#[derive(Clone, Copy)]
pub struct ResetFlag {
    slot: &'static Slot,
    /// The word of the slot while the flag is unset.
    unset: u64,
}

/// The word of one flag, in a cache line of its own.
#[derive(Debug, Default)]
#[repr(align(64))]
pub(crate) struct Slot(AtomicU64);

/// Leaves the flag of a request in its extensions.
pub(crate) type ShareReset = fn(&mut Extensions, ResetFlag);

// === impl ResetFlag ===

impl ResetFlag {
    /// Whether the request was reset.
    pub fn is_set(self) -> bool {
        self.slot.0.load(Ordering::Acquire) == self.unset + 1
    }

    /// An unset flag, to be closed once.
    #[inline]
    pub(crate) fn open() -> Self {
        let slot = flag_pool::take();
        let unset = slot.0.load(Ordering::Relaxed);
        Self { slot, unset }
    }

    /// Does nothing once the flag is closed.
    pub(crate) fn set(self) {
        let (unset, set) = (self.unset, self.unset + 1);
        let (done, failed) = (Ordering::Release, Ordering::Relaxed);
        _ = self.slot.0.compare_exchange(unset, set, done, failed);
    }

    /// Unsets the flag for good and lends its slot to the next call.
    #[inline]
    pub(crate) fn close(self) {
        self.slot.0.store(self.unset + 2, Ordering::Release);
        flag_pool::put(self.slot);
    }
}

impl fmt::Debug for ResetFlag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ResetFlag").field(&self.is_set()).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Barrier, thread};

    use super::*;

    #[test]
    fn a_handle_of_a_closed_flag_neither_reads_nor_sets_the_next_one() {
        let first = ResetFlag::open();
        first.set();
        assert!(first.is_set());
        first.close();
        assert!(!first.is_set());
        let second = ResetFlag::open();
        assert!(std::ptr::eq(first.slot, second.slot), "a slot is reused");
        first.set();
        assert!(!first.is_set() && !second.is_set());
        second.set();
        assert!(!first.is_set() && second.is_set());
        second.close();
    }

    #[test]
    fn a_flag_that_is_set_and_closed_at_once_leaves_its_slot_unset() {
        let barrier = Barrier::new(2);
        for _ in 0..1_000 {
            let flag = ResetFlag::open();
            thread::scope(|scope| {
                scope.spawn(|| {
                    barrier.wait();
                    flag.set();
                });
                barrier.wait();
                flag.close();
            });
            assert!(!flag.is_set());
            let next = ResetFlag::open();
            assert!(std::ptr::eq(flag.slot, next.slot) && !next.is_set());
            next.close();
        }
    }
}
