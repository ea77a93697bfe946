//! A harness for tests of the whole mesh, in this process or as programs.
#![expect(
    clippy::unwrap_used,
    reason = "a harness fails by panicking in its test"
)]

mod collector;
mod generated;
mod http;
mod loopback;
mod mesh;
mod program;
mod reference;
mod scrape;
mod stock;
mod wait;
mod wire;
mod workspace;

pub use self::collector::{Collector, SeenLine, SeenSpan};
pub use self::generated::{LIST, generated};
pub use self::http::{HttpResponse, get, send, send_json};
pub use self::loopback::{free_address, own_ip};
pub use self::mesh::{Mesh, bookstore, channel, counter, edge, revert_name, time};
pub use self::program::{Program, run};
pub use self::reference::{Served, reference};
pub use self::scrape::{Scrape, scrape};
pub use self::stock::stock;
pub use self::wait::{eventually, eventually_eq, within};
pub use self::wire::Wire;
pub use self::workspace::{Package, packages};
