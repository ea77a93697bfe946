//! Pins threads to processors: migrations cost more than a layer.

use rustix::{
    io::{Errno, Result},
    thread::{CpuSet, sched_getaffinity, sched_setaffinity},
};

/// The first two processors of this process, or the only one twice.
pub fn first_two() -> Result<[usize; 2]> {
    let allowed = sched_getaffinity(None)?;
    let mut allowed = (0..CpuSet::MAX_CPU).filter(|index| allowed.is_set(*index));
    let first = allowed.next().ok_or(Errno::NXIO)?;
    Ok([first, allowed.next().unwrap_or(first)])
}

/// Pins this thread, and the threads that it spawns, to a processor.
pub fn pin(processor: usize) -> Result<()> {
    let mut one = CpuSet::new();
    one.set(processor);
    sched_setaffinity(None, &one)
}
