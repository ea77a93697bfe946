//! Prints how the size of a scrape grows with the number of methods, and not with traffic.

use std::error::Error;

use grpc_prometheus::{ClientMetrics, Exposition, ServerMetrics, ZeroInit};
use grpc_prometheus_bench::{NoOp, call, descriptor_set, prepare};
use tower::Layer;

fn main() -> Result<(), Box<dyn Error>> {
    println!("methods, zero init, bytes before traffic, after 100,000 calls, after 1,000,000");
    for methods in [10, 100, 1_000] {
        for (name, zero_init) in [("all", ZeroInit::All), ("ok only", ZeroInit::OkOnly)] {
            let [before, some, many] = sizes(methods, zero_init)?;
            println!("{methods}, {name}, {before}, {some}, {many}");
        }
    }
    Ok(())
}

/// Sizes of a scrape of both sides: before traffic, and after two amounts of it.
fn sizes(methods: usize, zero_init: ZeroInit) -> Result<[usize; 3], Box<dyn Error>> {
    let exposition = Exposition::default();
    let set = descriptor_set(methods);
    let client = ClientMetrics::builder().descriptor_set(&set);
    client.zero_init(zero_init).register(&exposition)?;
    let server = ServerMetrics::builder().descriptor_set(&set);
    let server = server.zero_init(zero_init).register(&exposition)?;
    let mut service = server.layer().layer(NoOp { messages: 1 });
    let mut sizes = [0; 3];
    for (size, calls) in sizes.iter_mut().zip([0, 100_000, 900_000]) {
        for method in 0..methods {
            let (service_number, method) = (method / 10, method % 10);
            let path = format!("/bench.v1.Service{service_number}/Method{method}");
            prepare(path.parse()?);
            for _ in 0..calls / methods {
                call(&mut service);
            }
        }
        *size = exposition.encode(None).1.len();
    }
    Ok(sizes)
}
