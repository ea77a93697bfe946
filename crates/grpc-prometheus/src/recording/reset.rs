//! Reset flags: whether a call's request was reset.
//!
//! tonic turns a reset of the request body into a regular end of the stream, so the handler may
//! still respond. The request body and the response of a call are separate values, perhaps in
//! different tasks. They share a flag in a slot from [`flag_pool`]. The call returns the slot when
//! its response future or response body is dropped.
//!
//! # Memory ordering
//!
//! A slot's word is even while its flag is unset, odd while it is set, and grows with each use.
//! Only the owner stores the next even value. All others exchange the even value in their own
//! handle for the odd one. So a handle of an ended call can neither read nor set the flag of a
//! later call.
//!
//! [`flag_pool`]: super::flag_pool

use std::{
    fmt,
    sync::atomic::{AtomicU64, Ordering},
};

use http::Extensions;

use super::flag_pool;

/// Whether a server's request was reset, by the caller or with its connection, while the service
/// read its body. The caller does not receive the response.
///
/// Cheap to copy. [`ServerLayer::share_reset`](crate::ServerLayer::share_reset) hands it out. After
/// the response future or response body is dropped, it is unset for good.
#[derive(Clone, Copy)]
pub struct ResetFlag {
    slot: &'static Slot,
    /// The slot's word while the flag is unset.
    unset: u64,
}

/// The word of one flag, on a cache line of its own.
#[derive(Debug, Default)]
#[repr(align(64))]
pub(crate) struct Slot(AtomicU64);

/// Stores the flag of a request in its extensions.
pub(crate) type ShareReset = fn(&mut Extensions, ResetFlag);

// === impl ResetFlag ===

impl ResetFlag {
    /// Whether the request was reset.
    pub fn is_set(self) -> bool {
        self.slot.0.load(Ordering::Acquire) == self.unset + 1
    }

    /// Acquires an unset flag. The owner must close it once.
    #[inline]
    pub(crate) fn open() -> Self {
        let slot = flag_pool::acquire();
        let unset = slot.0.load(Ordering::Relaxed);
        Self { slot, unset }
    }

    /// Does nothing if the flag is closed.
    pub(crate) fn set(self) {
        let (unset, set) = (self.unset, self.unset + 1);
        let (done, failed) = (Ordering::Release, Ordering::Relaxed);
        _ = self.slot.0.compare_exchange(unset, set, done, failed);
    }

    /// Closes the flag and releases its slot.
    #[inline]
    pub(crate) fn close(self) {
        self.slot.0.store(self.unset + 2, Ordering::Release);
        flag_pool::release(self.slot);
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
