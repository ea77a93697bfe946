//! gRPC's own services, on every port: health and reflection.

use std::collections::BTreeSet;
use std::sync::Arc;

use grpc_prometheus::ServerMetrics;
use http::Uri;
use tonic::server::NamedService;

use crate::health::Health;
use crate::methods::{Method, MethodKind, Methods};
use crate::pb::health::FILE_DESCRIPTOR_SET as HEALTH;
use crate::pb::health::health_server::HealthServer;
use crate::pb::reflection::server_reflection_server::ServerReflectionServer;
use crate::pb::reflection::{
    ALPHA_FILE_DESCRIPTOR_SET as REFLECTION_ALPHA, FILE_DESCRIPTOR_SET as REFLECTION,
};
use crate::reflection::{Files, Reflection};
use crate::services::{Registered, ServiceError};

const REFLECTION_ALPHA_NAME: &str = "grpc.reflection.v1alpha.ServerReflection";
const REFLECTION_ALPHA_PATH: &str =
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo";
const REFLECTION_PATH: &str = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";

/// Adds health and reflection (v1 and v1alpha) to `methods`. All `services` are SERVING.
/// `descriptor_sets` describe them.
pub(crate) fn add(
    methods: &mut Methods,
    metrics: &ServerMetrics,
    mut services: BTreeSet<String>,
    descriptor_sets: &[&'static [u8]],
) -> Result<Health, ServiceError> {
    let health = Health::new(services.iter().cloned());
    // An orchestrator would kill an overloaded process whose health checks are refused.
    let server = HealthServer::new(health.clone());
    Registered::new(HEALTH, server)?.add_methods(methods, metrics, true);

    services.extend(
        [
            HealthServer::<Health>::NAME,
            ServerReflectionServer::<Reflection>::NAME,
            REFLECTION_ALPHA_NAME,
        ]
        .map(str::to_owned),
    );
    let own = [HEALTH, REFLECTION, REFLECTION_ALPHA];
    let files = Files::read(descriptor_sets.iter().copied().chain(own))?;
    let reflection = ServerReflectionServer::new(Reflection::new(services, files));
    let reflection = Registered::new(REFLECTION, reflection)?;
    reflection.add_methods(methods, metrics, false);
    // The messages of both versions are the same.
    methods.insert(Method {
        metrics: metrics.method(REFLECTION_ALPHA_PATH),
        path: REFLECTION_ALPHA_PATH.into(),
        kind: MethodKind::Streaming,
        unlimited: false,
        handler: Arc::clone(&reflection.handler),
        rewritten: Some(Uri::from_static(REFLECTION_PATH)),
    });
    Ok(health)
}
