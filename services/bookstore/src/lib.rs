//! Keeps books and recommends them: REST and gRPC over one store.

mod books;
mod config;
mod draft;
mod message;
mod recommend;
mod rest;
mod store;

pub use books::Bookstore;
pub use config::Config;
pub use draft::InvalidBook;
pub use rest::{Channel, Upstream, router};
pub use store::{OpenError, SeedError, Store, StoreError};
