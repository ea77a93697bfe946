//! Which calls lost their request body to a reset.
//!
//! tonic turns a reset of the request body into a clean end of the stream, so the handler may
//! answer something that nobody will read. The body and the future of a call share no memory of
//! their own (that would be an allocation per call), hence this ring that all calls share. The
//! note is looked for within the same wake-up that wrote it, as a rule, so the ring would have to
//! turn round completely in that time to lose one.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

const RING: usize = 256;

#[derive(Debug)]
pub(crate) struct Resets {
    noted: AtomicU32,
    calls: [AtomicU64; RING],
}

// === impl Resets ===

impl Resets {
    pub(crate) fn new() -> Self {
        Self {
            noted: AtomicU32::new(0),
            calls: [const { AtomicU64::new(0) }; RING],
        }
    }

    pub(crate) fn note(&self, call: u64) {
        let index = self.noted.fetch_add(1, Ordering::AcqRel) as usize % RING;
        self.calls[index].store(call, Ordering::Release);
    }

    /// Changes with each note: nothing was noted between two equal values, or 2^32 resets.
    pub(crate) fn noted(&self) -> u32 {
        self.noted.load(Ordering::Acquire)
    }

    /// Whether the call is among the notes since `noted` was `since`.
    pub(crate) fn contains(&self, call: u64, since: u32) -> bool {
        let noted = self.noted();
        let new = noted.wrapping_sub(since).min(RING as u32);
        let mut places = (1..=new).map(|back| noted.wrapping_sub(back) as usize % RING);
        places.any(|place| self.calls[place].load(Ordering::Acquire) == call)
    }
}
