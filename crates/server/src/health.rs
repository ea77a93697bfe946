//! Health and server reflection, on every gRPC port.

use std::collections::BTreeSet;

use grpc_prometheus::ServerMetrics;
use tonic_health::ServingStatus;
use tonic_health::pb::FILE_DESCRIPTOR_SET as HEALTH;
use tonic_health::server::HealthReporter;
use tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET as REFLECTION;
use tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET as REFLECTION_ALPHA;

use crate::methods::Methods;
use crate::services::{Registered, ServiceError};

/// The health of a port and of each of its services.
#[derive(Clone, Debug)]
pub struct Health {
    reporter: HealthReporter,
    services: Vec<String>,
}

/// Adds health (Check and Watch) and reflection (v1 and v1alpha) to `methods`. All `services` are
/// SERVING.
pub(crate) async fn add(
    methods: &mut Methods,
    metrics: &ServerMetrics,
    services: BTreeSet<String>,
    described: &[&'static [u8]],
) -> Result<Health, ServiceError> {
    let (reporter, server) = tonic_health::server::health_reporter();
    let mut services: Vec<_> = services.into_iter().collect();
    for service in &services {
        reporter
            .set_service_status(service, ServingStatus::Serving)
            .await;
    }
    // The empty name is the whole port.
    services.push(String::new());
    // An orchestrator would kill an overloaded process whose health checks are refused.
    Registered::new(HEALTH, server)?.add_methods(methods, metrics, true);

    let mut reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(HEALTH)
        .register_encoded_file_descriptor_set(REFLECTION_ALPHA);
    let mut reflection_alpha = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(HEALTH)
        .register_encoded_file_descriptor_set(REFLECTION);
    for set in described {
        reflection = reflection.register_encoded_file_descriptor_set(set);
        reflection_alpha = reflection_alpha.register_encoded_file_descriptor_set(set);
    }
    let (v1, v1alpha) = (reflection.build_v1()?, reflection_alpha.build_v1alpha()?);
    Registered::new(REFLECTION, v1)?.add_methods(methods, metrics, false);
    Registered::new(REFLECTION_ALPHA, v1alpha)?.add_methods(methods, metrics, false);
    Ok(Health { reporter, services })
}

// === impl Health ===

impl Health {
    /// The names whose health is reported; the empty one is the whole port.
    pub fn services(&self) -> &[String] {
        &self.services
    }

    /// Reports NOT_SERVING for every service, so that balancers and watchers go elsewhere.
    pub async fn set_not_serving(&self) {
        for service in &self.services {
            self.reporter
                .set_service_status(service, ServingStatus::NotServing)
                .await;
        }
    }

    /// Ends the open watches, which would otherwise hold the drain until its timeout.
    pub async fn end_watches(&mut self) {
        for service in &self.services {
            self.reporter.clear_service_status(service).await;
        }
    }
}
