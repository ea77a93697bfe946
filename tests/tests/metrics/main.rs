//! The metrics: there before the first call, moved by exactly the calls made, served as pages.

mod counts;
mod fixture;
mod pages;
mod series;
