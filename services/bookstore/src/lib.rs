//! Stores books and recommends them, by REST and gRPC over one store.

mod books;
mod config;
mod draft;
mod recommendation_list;
mod recommendations;
mod rest;
mod store;

pub use books::Bookstore;
pub use config::Config;
pub use draft::InvalidBook;
pub use rest::{Upstream, router};
pub use store::{OpenError, SeedError, Store, StoreError};
