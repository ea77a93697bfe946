//! Hostile and broken peers against running ports. Each test runs in real time, beside the others.
#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

mod fixture;
mod floods;
mod frames;
mod limits;
mod malformed;
mod silence;
