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
    /// Has no destructor, so that each use is a plain memory access.
    static CACHE: ThreadCache = const { ThreadCache::new() };
    static RETURNER: Returner = const { Returner };
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
    /// 0 while the thread has no live [`Returner`]: before its first use, and while it exits.
    capacity: Cell<usize>,
}

/// Returns the cached slots of its thread on drop.
struct Returner;

/// Takes a free slot, or allocates some if there is none.
#[inline]
pub(crate) fn acquire() -> &'static Slot {
    CACHE.with(|cache| cache.pop().unwrap_or_else(|| cache.refill()))
}

/// Returns a slot. Neither allocates nor panics.
#[inline]
pub(crate) fn release(slot: &'static Slot) {
    CACHE.with(|cache| {
        if !cache.push(slot) {
            cache.overflow(slot);
        }
    });
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
            capacity: Cell::new(0),
        }
    }

    #[inline]
    fn pop(&self) -> Option<&'static Slot> {
        let last = self.count.get().checked_sub(1)?;
        self.count.set(last);
        self.free[last % CACHED].get()
    }

    /// Returns whether there was room.
    #[inline]
    fn push(&self, slot: &'static Slot) -> bool {
        let count = self.count.get();
        if count >= self.capacity.get() {
            return false;
        }
        self.free[count % CACHED].set(Some(slot));
        self.count.set(count + 1);
        true
    }

    #[cold]
    #[inline(never)]
    fn refill(&self) -> &'static Slot {
        let cached = self.is_open();
        let mut shared = shared();
        for _ in 1..BATCH {
            if cached {
                self.push(shared.take());
            }
        }
        shared.take()
    }

    #[cold]
    #[inline(never)]
    fn overflow(&self, slot: &'static Slot) {
        if self.is_open() {
            if self.count.get() == CACHED {
                self.spill(BATCH);
            }
            self.push(slot);
        } else {
            shared().free.push(slot);
        }
    }

    /// Whether the cache is in use, from now on if the thread is not exiting.
    fn is_open(&self) -> bool {
        let open = RETURNER.try_with(|_| self.capacity.set(CACHED));
        open.is_ok()
    }

    fn spill(&self, count: usize) {
        let mut shared = shared();
        for _ in 0..count {
            shared.free.extend(self.pop());
        }
    }
}

// === impl Returner ===

impl Drop for Returner {
    fn drop(&mut self) {
        CACHE.with(|cache| {
            cache.capacity.set(0);
            cache.spill(CACHED);
        });
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
