//! Assigns threads to the shards of all series.
//!
//! An uncontended atomic read-modify-write costs several nanoseconds, and a call needs six. So each
//! recording thread owns a shard, in all series of the process, and increments its cells by a load
//! and a store. There are as many owned shards as processors, but at least 16 and at most 64.
//! Further threads share one shard and use read-modify-writes. A thread that exits returns its
//! shard.
//!
//! # Memory ordering
//!
//! Only the owner stores to an owned shard. The previous owner released the shard's bit after its
//! last store, and the new owner acquired that bit before its first load. So no increment is lost,
//! and no cell goes back.

use std::{
    cell::Cell,
    sync::{
        LazyLock,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    thread,
};

const MIN_OWNED: usize = 16;
const MAX_OWNED: usize = 64;

/// The number of owned shards.
static OWNED: LazyLock<usize> = LazyLock::new(|| {
    let processors = thread::available_parallelism().map_or(MIN_OWNED, usize::from);
    processors.clamp(MIN_OWNED, MAX_OWNED)
});

/// The owned shards that have an owner, one bit each.
static TAKEN: AtomicU64 = AtomicU64::new(0);

/// The number of owned shards that ever had an owner. The others are zero.
static USED: AtomicUsize = AtomicUsize::new(0);

/// The shard of the current thread. Must not be held across an await.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shard(usize);

/// Returns an owned shard on drop.
struct Owner(Shard);

thread_local! {
    /// Has no destructor, so calls that end while their thread exits are counted too.
    static CURRENT: Cell<Option<Shard>> = const { Cell::new(None) };
    static OWNER: Cell<Option<Owner>> = const { Cell::new(None) };
}

// === impl Shard ===

impl Shard {
    /// The owned shards follow.
    const SHARED: Self = Self(0);

    /// The number of shards of each series.
    pub(crate) fn count() -> usize {
        *OWNED + 1
    }

    #[inline]
    pub(crate) fn current() -> Self {
        CURRENT.get().unwrap_or_else(Self::choose)
    }

    #[cold]
    fn choose() -> Self {
        let owner = Owner::new();
        let shard = owner.as_ref().map_or(Self::SHARED, |owner| owner.0);
        CURRENT.set(Some(shard));
        // If the thread is exiting, this drops the owner, which returns its shard.
        _ = OWNER.try_with(|place| place.set(owner));
        CURRENT.get().unwrap_or(shard)
    }

    /// The indices of all shards in use. A caller that has read a counter, and calls this
    /// afterwards, also gets the shards of all counters written before it.
    pub(crate) fn used() -> impl Iterator<Item = usize> {
        0..=USED.load(Ordering::Relaxed)
    }

    #[inline]
    pub(crate) const fn index(self) -> usize {
        self.0
    }

    /// Adds to a cell of this shard. `ordering` is that of the store.
    #[inline]
    pub(crate) fn add(self, word: &AtomicU64, value: u64, ordering: Ordering) {
        if self == Self::SHARED {
            word.fetch_add(value, ordering);
        } else {
            let sum = word.load(Ordering::Relaxed).wrapping_add(value);
            word.store(sum, ordering);
        }
    }
}

// === impl Owner ===

impl Owner {
    fn new() -> Option<Self> {
        let free = |taken: u64| {
            let bit = taken.trailing_ones() as usize;
            (bit < *OWNED).then(|| taken | 1 << bit)
        };
        let taken = TAKEN.fetch_update(Ordering::Acquire, Ordering::Relaxed, free);
        let index = taken.ok()?.trailing_ones() as usize + 1;
        USED.fetch_max(index, Ordering::Relaxed);
        Some(Self(Shard(index)))
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        CURRENT.set(Some(Shard::SHARED));
        TAKEN.fetch_and(!(1 << (self.0.index() - 1)), Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use std::{
        collections::HashSet,
        sync::{Barrier, Mutex},
        thread,
    };

    use super::*;

    /// Other tests of this process own shards too. All threads wait for each other, so that none
    /// exits early.
    fn shards_of(threads: usize) -> Vec<Shard> {
        let (barrier, shards) = (Barrier::new(threads), Mutex::new(Vec::new()));
        thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| {
                    shards.lock().unwrap().push(Shard::current());
                    barrier.wait();
                });
            }
        });
        shards.into_inner().unwrap()
    }

    #[test]
    fn threads_own_different_shards_and_those_beyond_share_one() {
        let shards = shards_of(*OWNED + 4);
        let owned: Vec<_> = shards.iter().filter(|s| **s != Shard::SHARED).collect();
        let different: HashSet<_> = owned.iter().map(|shard| shard.index()).collect();
        assert_eq!(different.len(), owned.len());
        assert!(owned.len() <= *OWNED);
        assert!(shards.len() - owned.len() >= 4);
        let used: HashSet<_> = Shard::used().collect();
        assert!(shards.iter().all(|shard| used.contains(&shard.index())));
    }

    #[test]
    fn a_thread_that_exits_returns_its_shard() {
        // More than a thousand owners cannot exist at once.
        let owned = (0..1_000).filter(|_| shards_of(1) != [Shard::SHARED]);
        assert!(owned.count() > MAX_OWNED);
    }

    #[test]
    fn nothing_is_lost_when_shards_change_hands_under_load() {
        const THREADS: u64 = MAX_OWNED as u64 + 16;
        const ADDS: u64 = 100_000;
        let all_there = Barrier::new(THREADS as usize);
        let words = [const { AtomicU64::new(0) }; MAX_OWNED + 1];
        for _ in 0..5 {
            thread::scope(|scope| {
                for _ in 0..THREADS {
                    scope.spawn(|| {
                        Shard::current();
                        all_there.wait();
                        for _ in 0..ADDS {
                            let shard = Shard::current();
                            shard.add(&words[shard.index()], 1, Ordering::Relaxed);
                        }
                    });
                }
            });
        }
        let sum: u64 = words.iter().map(|word| word.load(Ordering::Relaxed)).sum();
        assert_eq!(sum, 5 * THREADS * ADDS);
    }

    #[test]
    fn an_exiting_thread_counts_in_the_shared_shard() {
        struct Late;
        impl Drop for Late {
            fn drop(&mut self) {
                SEEN.store(Shard::current().index() as u64, Ordering::Relaxed);
            }
        }
        static SEEN: AtomicU64 = AtomicU64::new(u64::MAX);
        thread_local!(static LATE: Late = const { Late });
        thread::spawn(|| {
            // Destructors run in reverse order of first use, so this one runs after the owner's.
            LATE.with(|_| ());
            Shard::current();
        })
        .join()
        .unwrap();
        assert_eq!(SEEN.load(Ordering::Relaxed), 0);
    }
}
