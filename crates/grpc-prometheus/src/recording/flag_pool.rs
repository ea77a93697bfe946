//! A pool of reusable slots for reset flags.
//!
//! Each thread caches free slots, so acquiring and releasing on one thread takes no lock. Full
//! caches spill half of their slots to a shared list, empty ones refill from it, and a thread that
//! exits returns all of its slots. New slots are allocated only when the shared list is empty.
//! Slots are never freed, so their number follows the peak of open calls.

use std::{
    cell::Cell,
    sync::{Mutex, MutexGuard, PoisonError},
};

use super::reset::Slot;

/// Capacity of a thread's cache.
const CACHED: usize = 64;

/// Slots moved between a cache and the shared list at a time.
const BATCH: usize = CACHED / 2;

static SHARED: Mutex<SharedList> = Mutex::new(SharedList {
    free: Vec::new(),
    made: 0,
});

thread_local! {
    static LOCAL: ThreadCache = const { ThreadCache::new() };
}

/// Free slots that no thread caches.
struct SharedList {
    /// Has capacity for every slot, so releasing one never allocates.
    free: Vec<&'static Slot>,
    made: usize,
}

/// Free slots of one thread; only the first `count` are valid.
struct ThreadCache {
    free: [Cell<Option<&'static Slot>>; CACHED],
    count: Cell<usize>,
}

/// Takes a free slot, or allocates some if there is none.
#[inline]
pub(crate) fn acquire() -> &'static Slot {
    // A thread that is exiting has lost its cache.
    let slot = LOCAL.try_with(|local| local.pop().unwrap_or_else(|| local.refill()));
    slot.unwrap_or_else(|_| shared().take())
}

/// Returns a slot. Neither allocates nor panics.
#[inline]
pub(crate) fn release(slot: &'static Slot) {
    let kept = LOCAL.try_with(|local| {
        if !local.push(slot) {
            local.spill(BATCH);
            local.push(slot);
        }
    });
    if kept.is_err() {
        shared().free.push(slot);
    }
}

fn shared() -> MutexGuard<'static, SharedList> {
    SHARED.lock().unwrap_or_else(PoisonError::into_inner)
}

// === impl SharedList ===

impl SharedList {
    fn take(&mut self) -> &'static Slot {
        self.free.pop().unwrap_or_else(|| self.make())
    }

    fn make(&mut self) -> &'static Slot {
        let slots: Box<[Slot]> = (1..BATCH).map(|_| Slot::default()).collect();
        self.made += BATCH;
        self.free.reserve(self.made);
        self.free.extend(&*Box::leak(slots));
        Box::leak(Box::default())
    }
}

// === impl ThreadCache ===

impl ThreadCache {
    const fn new() -> Self {
        Self {
            free: [const { Cell::new(None) }; CACHED],
            count: Cell::new(0),
        }
    }

    #[inline]
    fn pop(&self) -> Option<&'static Slot> {
        let last = self.count.get().checked_sub(1)?;
        self.count.set(last);
        self.free[last].get()
    }

    /// Returns whether there was room.
    #[inline]
    fn push(&self, slot: &'static Slot) -> bool {
        let count = self.count.get();
        let Some(place) = self.free.get(count) else {
            return false;
        };
        place.set(Some(slot));
        self.count.set(count + 1);
        true
    }

    #[cold]
    fn refill(&self) -> &'static Slot {
        let mut shared = shared();
        for _ in 1..BATCH {
            self.push(shared.take());
        }
        shared.take()
    }

    #[cold]
    fn spill(&self, count: usize) {
        let mut shared = shared();
        for _ in 0..count {
            shared.free.extend(self.pop());
        }
    }
}

impl Drop for ThreadCache {
    fn drop(&mut self) {
        self.spill(CACHED);
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::HashSet, ptr, sync::mpsc, thread};

    use super::*;

    fn address(slot: &'static Slot) -> usize {
        ptr::from_ref(slot).addr()
    }

    #[test]
    fn no_slot_is_acquired_twice_at_once() {
        let taken: Vec<_> = thread::scope(|scope| {
            let take_many = || (0..1_000).map(|_| acquire()).collect::<Vec<_>>();
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(take_many)).collect();
            let taken = threads.into_iter().map(|thread| thread.join().unwrap());
            taken.flatten().collect()
        });
        let different: HashSet<_> = taken.iter().map(|slot| address(slot)).collect();
        assert_eq!(different.len(), 8_000);
        taken.into_iter().for_each(release);
    }

    #[test]
    fn slots_acquired_on_one_thread_and_released_on_another_are_reused() {
        let (give, given) = mpsc::sync_channel(0);
        let mut seen = HashSet::new();
        thread::scope(|scope| {
            scope.spawn(|| given.into_iter().for_each(release));
            for _ in 0..100_000 {
                let slot = acquire();
                seen.insert(address(slot));
                give.send(slot).unwrap();
            }
            drop(give);
        });
        // Slots cached by both threads, and slots used by other tests of this process.
        assert!(seen.len() < 10_000, "{}", seen.len());
    }

    #[test]
    fn a_thread_that_exits_returns_its_slots() {
        let mut seen = HashSet::new();
        for _ in 0..10_000 {
            let slot = thread::spawn(|| {
                let slot = acquire();
                release(slot);
                slot
            });
            seen.insert(address(slot.join().unwrap()));
        }
        assert!(seen.len() < 10_000 / 2, "{}", seen.len());
    }

    #[test]
    fn an_exiting_thread_acquires_and_releases_slots() {
        struct Late;
        impl Drop for Late {
            fn drop(&mut self) {
                let (first, second) = (acquire(), acquire());
                assert!(!ptr::eq(first, second));
                release(first);
                release(second);
            }
        }
        thread_local!(static LATE: Late = const { Late });
        let thread = thread::spawn(|| {
            // Destructors run in reverse order of first use, so this one runs after the pool's.
            LATE.with(|_| ());
            release(acquire());
        });
        thread.join().unwrap();
    }
}
