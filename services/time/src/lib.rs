//! Tells the time.

mod clock;

pub use clock::Clock;
