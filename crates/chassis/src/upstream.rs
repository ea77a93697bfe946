//! Upstream services, and the series `mesh_client_target_info` that names them.

use prometheus::{IntGaugeVec, Opts, Registry};
use prost::Message;
use prost_types::FileDescriptorSet;
use tower::BoxError;

/// A service that another one calls.
///
/// Client metrics name the gRPC service, which several services may serve. This adds the name of the
/// service that is called, for the edges of the topology.
#[derive(Clone, Copy, Debug)]
pub struct Upstream {
    /// Its [`Service::NAME`](crate::Service::NAME).
    pub name: &'static str,
    /// The encoded descriptor set of its contract.
    pub contract: &'static [u8],
}

/// `mesh_client_target_info`: one series for each gRPC service of each upstream.
#[derive(Debug)]
pub(crate) struct UpstreamInfo {
    targets: IntGaugeVec,
}

// === impl UpstreamInfo ===

impl UpstreamInfo {
    pub(crate) fn register(registry: &Registry) -> prometheus::Result<Self> {
        let targets = IntGaugeVec::new(
            Opts::new(
                "mesh_client_target_info",
                "Always 1; the label target names the service that a gRPC service is called at.",
            ),
            &["grpc_service", "target"],
        )?;
        registry.register(Box::new(targets.clone()))?;
        Ok(Self { targets })
    }

    pub(crate) fn add(&self, upstream: Upstream) -> Result<(), BoxError> {
        for file in FileDescriptorSet::decode(upstream.contract)?.file {
            for service in &file.service {
                let service = match file.package() {
                    "" => service.name().to_owned(),
                    package => format!("{package}.{}", service.name()),
                };
                let series = self.targets.with_label_values(&[&service, upstream.name]);
                series.set(1);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use prometheus::TextEncoder;
    use vitalmesh_proto::{heartbeat, time};

    use super::*;

    #[test]
    fn each_grpc_service_is_listed_with_every_service_it_is_called_at() {
        let upstream = |name, contract| Upstream { name, contract };
        let registry = Registry::new();
        let info = UpstreamInfo::register(&registry).unwrap();
        for upstream in [
            upstream("time", time::v1::FILE_DESCRIPTOR_SET),
            upstream("time-canary", time::v1::FILE_DESCRIPTOR_SET),
            upstream("time", time::v1::FILE_DESCRIPTOR_SET),
            upstream("edge", heartbeat::v1::FILE_DESCRIPTOR_SET),
        ] {
            info.add(upstream).unwrap();
        }
        let page = TextEncoder::new().encode_to_string(&registry.gather());
        let page = page.unwrap();
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
    fn an_invalid_descriptor_set_is_rejected() {
        let info = UpstreamInfo::register(&Registry::new()).unwrap();
        let upstream = Upstream {
            name: "time",
            contract: b"proto",
        };
        assert!(info.add(upstream).is_err());
    }
}
