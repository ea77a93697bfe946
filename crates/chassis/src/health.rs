//! Health and reflection, on every gRPC port.

use tonic_health::ServingStatus;
use tonic_health::pb::FILE_DESCRIPTOR_SET as HEALTH;
use tonic_health::server::HealthReporter;
use tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET as REFLECTION;
use tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET as REFLECTION_ALPHA;

use crate::methods::Methods;
use crate::routes::RoutesBuilder;
use crate::stack::BoxError;

/// The health of a server and of each of its services.
#[derive(Clone, Debug)]
pub(crate) struct Health {
    reporter: HealthReporter,
    services: Vec<String>,
}

/// Adds health (Check and Watch) and reflection (v1 and v1alpha) to the routes and the known
/// methods. Everything is SERVING.
pub(crate) async fn add(
    routes: &mut RoutesBuilder,
    methods: &mut Methods,
    served: &[&'static [u8]],
) -> Result<Health, BoxError> {
    let (reporter, server) = tonic_health::server::health_reporter();
    let mut services = methods.services().to_vec();
    for service in &services {
        reporter
            .set_service_status(service, ServingStatus::Serving)
            .await;
    }
    services.push(String::new());
    routes.add_service(server);

    let mut reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(HEALTH)
        .register_encoded_file_descriptor_set(REFLECTION_ALPHA);
    let mut reflection_alpha = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(HEALTH)
        .register_encoded_file_descriptor_set(REFLECTION);
    for set in served {
        reflection = reflection.register_encoded_file_descriptor_set(set);
        reflection_alpha = reflection_alpha.register_encoded_file_descriptor_set(set);
    }
    routes.add_service(reflection.build_v1()?);
    routes.add_service(reflection_alpha.build_v1alpha()?);
    for set in [HEALTH, REFLECTION, REFLECTION_ALPHA] {
        methods.add(set)?;
    }
    Ok(Health { reporter, services })
}

// === impl Health ===

impl Health {
    /// Says NOT_SERVING, so that balancers and watchers go elsewhere.
    pub(crate) async fn leave(&self) {
        for service in &self.services {
            self.reporter
                .set_service_status(service, ServingStatus::NotServing)
                .await;
        }
    }

    /// Ends the watches, which would otherwise hold the drain until its limit.
    pub(crate) async fn end_watches(&mut self) {
        for service in &self.services {
            self.reporter.clear_service_status(service).await;
        }
    }
}
