//! Whom a service calls, in its own words and in `mesh_client_target_info`.

use prometheus::{IntGaugeVec, Opts, Registry};

use crate::methods::Methods;
use crate::stack::BoxError;

/// A service that another one calls.
///
/// Client metrics name the gRPC service that was called, which several services may serve; this
/// tells Prometheus which of them it was, for the edges of the topology.
#[derive(Clone, Copy, Debug)]
pub struct Callee {
    /// Its [`Service::NAME`](crate::Service::NAME).
    pub name: &'static str,
    /// The descriptor set of the contract that is called.
    pub contract: &'static [u8],
}

/// Registers `mesh_client_target_info`: one series for each gRPC service of each callee.
pub(crate) fn register(registry: &Registry, callees: &[Callee]) -> Result<(), BoxError> {
    let targets = IntGaugeVec::new(
        Opts::new(
            "mesh_client_target_info",
            "Always 1; the labels say at which service a gRPC service is called.",
        ),
        &["grpc_service", "target"],
    )?;
    for callee in callees {
        let mut called = Methods::default();
        called.add(callee.contract)?;
        for service in called.services() {
            targets.with_label_values(&[service, callee.name]).set(1);
        }
    }
    registry.register(Box::new(targets))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use vitalmesh_proto::{heartbeat, time};

    use super::*;

    #[test]
    fn each_grpc_service_is_listed_with_every_service_it_is_called_at() {
        let callee = |name, contract| Callee { name, contract };
        let registry = Registry::new();
        let callees = [
            callee("time", time::v1::FILE_DESCRIPTOR_SET),
            callee("time-canary", time::v1::FILE_DESCRIPTOR_SET),
            callee("edge", heartbeat::v1::FILE_DESCRIPTOR_SET),
        ];
        register(&registry, &callees).unwrap();
        let (_, page) = grpc_prometheus::encode(&registry, None);
        let series: Vec<_> = page.lines().filter(|line| !line.starts_with('#')).collect();
        let expected = [
            ("vitalmesh.heartbeat.v1.HeartbeatService", "edge"),
            ("vitalmesh.time.v1.TimeService", "time"),
            ("vitalmesh.time.v1.TimeService", "time-canary"),
        ];
        let expected = expected.map(|(service, target)| {
            format!(r#"mesh_client_target_info{{grpc_service="{service}",target="{target}"}} 1"#)
        });
        assert_eq!(series, expected);
    }

    #[test]
    fn what_is_no_descriptor_set_is_refused() {
        let callees = [Callee {
            name: "time",
            contract: b"proto",
        }];
        assert!(register(&Registry::new(), &callees).is_err());
    }
}
