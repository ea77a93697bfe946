//! Prints how the size of a scrape grows with methods and not with traffic.

use grpc_prometheus::{ClientMetrics, ServerMetrics, ZeroInit};
use grpc_prometheus_bench::{NoOp, call, descriptor_set, prepare};
use prometheus::Registry;
use tower::Layer;

fn main() {
    println!("methods, zero init, bytes before traffic, after 100,000 calls, after 1,000,000");
    for methods in [10, 100, 1_000] {
        for (name, zero_init) in [("all", ZeroInit::All), ("ok only", ZeroInit::OkOnly)] {
            let registry = Registry::new();
            let set = descriptor_set(methods);
            let server = ServerMetrics::builder()
                .descriptor_set(&set)
                .zero_init(zero_init);
            let mut service = server
                .register(&registry)
                .unwrap()
                .layer()
                .layer(NoOp { messages: 1 });
            let client = ClientMetrics::builder()
                .descriptor_set(&set)
                .zero_init(zero_init);
            client.register(&registry).unwrap();
            let size = || grpc_prometheus::encode(&registry, None).1.len();
            let mut sizes = vec![size()];
            for calls in [100_000, 900_000] {
                for method in 0..methods {
                    prepare(&format!(
                        "/bench.v1.Service{}/Method{}",
                        method / 10,
                        method % 10
                    ));
                    for _ in 0..calls / methods {
                        call(&mut service);
                    }
                }
                sizes.push(size());
            }
            println!(
                "{methods}, {name}, {}, {}, {}",
                sizes[0], sizes[1], sizes[2]
            );
        }
    }
}
