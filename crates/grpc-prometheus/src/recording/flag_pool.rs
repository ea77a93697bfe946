//! Slots of reset flags: lent to calls, given back and lent again.
//!
//! Each thread keeps some free slots, so that a call on one thread takes no lock. A thread with
//! too many gives half of them to all, a thread without one takes as many, and a thread that ends
//! gives all of its own. New slots are made only where no thread has given any: there are about as
//! many as calls have been open at once, and they live as long as the process.

use std::{
    cell::Cell,
    sync::{Mutex, MutexGuard, PoisonError},
};

use super::reset::Slot;

/// Free slots that a thread keeps at most.
const KEPT: usize = 64;

/// Slots that move between a thread and all threads at a time.
const BATCH: usize = KEPT / 2;

static SHARED: Mutex<Shared> = Mutex::new(Shared {
    free: Vec::new(),
    made: 0,
});

thread_local! {
    static LOCAL: Local = const { Local::new() };
}

/// Free slots of all threads.
struct Shared {
    /// Has room for every slot, so that to give one back never allocates.
    free: Vec<&'static Slot>,
    made: usize,
}

/// Free slots of one thread: the first `count`.
struct Local {
    free: [Cell<Option<&'static Slot>>; KEPT],
    count: Cell<usize>,
}

/// A free slot.
#[inline]
pub(crate) fn take() -> &'static Slot {
    // A thread that is being torn down has no slots any more.
    let slot = LOCAL.try_with(|local| local.pop().unwrap_or_else(|| local.refill()));
    slot.unwrap_or_else(|_| shared().take())
}

/// Gives a slot back. Neither allocates nor panics.
#[inline]
pub(crate) fn put(slot: &'static Slot) {
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

fn shared() -> MutexGuard<'static, Shared> {
    SHARED.lock().unwrap_or_else(PoisonError::into_inner)
}

// === impl Shared ===

impl Shared {
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

// === impl Local ===

impl Local {
    const fn new() -> Self {
        Self {
            free: [const { Cell::new(None) }; KEPT],
            count: Cell::new(0),
        }
    }

    #[inline]
    fn pop(&self) -> Option<&'static Slot> {
        let last = self.count.get().checked_sub(1)?;
        self.count.set(last);
        self.free[last].get()
    }

    /// Whether there was room.
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

impl Drop for Local {
    fn drop(&mut self) {
        self.spill(KEPT);
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
    fn no_slot_is_lent_twice_at_once() {
        let taken: Vec<_> = thread::scope(|scope| {
            let take_many = || (0..1_000).map(|_| take()).collect::<Vec<_>>();
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(take_many)).collect();
            let taken = threads.into_iter().map(|thread| thread.join().unwrap());
            taken.flatten().collect()
        });
        let different: HashSet<_> = taken.iter().map(|slot| address(slot)).collect();
        assert_eq!(different.len(), 8_000);
        taken.into_iter().for_each(put);
    }

    #[test]
    fn slots_that_one_thread_takes_and_another_gives_back_are_used_again() {
        let (give, given) = mpsc::sync_channel(0);
        let mut seen = HashSet::new();
        thread::scope(|scope| {
            scope.spawn(|| given.into_iter().for_each(put));
            for _ in 0..100_000 {
                let slot = take();
                seen.insert(address(slot));
                give.send(slot).unwrap();
            }
            drop(give);
        });
        // Those that both threads keep, and those that the other tests of the process borrow too.
        assert!(seen.len() < 10_000, "{}", seen.len());
    }

    #[test]
    fn a_thread_that_ends_gives_its_slots_back() {
        let mut seen = HashSet::new();
        for _ in 0..10_000 {
            let slot = thread::spawn(|| {
                let slot = take();
                put(slot);
                slot
            });
            seen.insert(address(slot.join().unwrap()));
        }
        assert!(seen.len() < 10_000 / 2, "{}", seen.len());
    }

    #[test]
    fn a_thread_that_is_torn_down_borrows_and_gives_back() {
        struct Late;
        impl Drop for Late {
            fn drop(&mut self) {
                let (first, second) = (take(), take());
                assert!(!ptr::eq(first, second));
                put(first);
                put(second);
            }
        }
        thread_local!(static LATE: Late = const { Late });
        let thread = thread::spawn(|| {
            // Destructors run in the reverse order of first use, so this one after the pool's.
            LATE.with(|_| ());
            put(take());
        });
        thread.join().unwrap();
    }
}
