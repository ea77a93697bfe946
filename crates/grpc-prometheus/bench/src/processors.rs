//! Threads on processors of their own: where one is put costs more than a layer.

use rustix::{
    io::{Errno, Result},
    thread::{CpuSet, sched_getaffinity, sched_setaffinity},
};

/// The first two that this process may use; the same one twice if there is but one.
pub fn first_two() -> Result<[usize; 2]> {
    let allowed = sched_getaffinity(None)?;
    let mut allowed = (0..CpuSet::MAX_CPU).filter(|index| allowed.is_set(*index));
    let first = allowed.next().ok_or(Errno::NXIO)?;
    Ok([first, allowed.next().unwrap_or(first)])
}

/// Keeps this thread on one processor, and the threads that it makes.
pub fn pin(processor: usize) -> Result<()> {
    let mut one = CpuSet::new();
    one.set(processor);
    sched_setaffinity(None, &one)
}
