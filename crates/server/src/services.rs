//! The services of one gRPC port: registered once each, with their contract.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;

use grpc_prometheus::ServerMetrics;
use http::{Request, Response};
use prost::Message;
use prost_types::FileDescriptorSet;
use tonic::body::Body;
use tonic::server::NamedService;
use tower::Service;

use crate::health::Health;
use crate::legacy::{self, LegacyContract, LegacyError};
use crate::methods::{Answer, Handler, Method, MethodKind, Methods};
use crate::standard;

/// Collects the services of one gRPC port.
///
/// [`Services::serve`] is the only statement about a contract: metrics, health, reflection,
/// timeouts and routes follow from it.
#[derive(Default)]
pub struct Services {
    registered: Vec<Registered>,
    legacy: Vec<LegacyContract>,
}

/// The contracts of a port's services.
#[derive(Clone, Debug)]
pub struct Contracts {
    /// The descriptor sets of the registered services, each once.
    pub served: Vec<&'static [u8]>,
    /// The contracts of older clients.
    pub legacy: Vec<LegacyContract>,
}

/// A generated tonic server with its contract.
pub(crate) struct Registered {
    pub(crate) name: &'static str,
    pub(crate) descriptor_set: &'static [u8],
    pub(crate) handler: Handler,
    pub(crate) methods: Vec<(String, MethodKind)>,
}

/// Why a service cannot be registered.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// The bytes are not an encoded `FileDescriptorSet`.
    #[error("the descriptor set of {service} cannot be decoded: {source}")]
    Decode {
        /// The service's full name.
        service: &'static str,
        /// Why.
        source: prost::DecodeError,
    },
    /// The descriptor set belongs to another contract.
    #[error("the descriptor set has no service {0}; pass the one of its own contract")]
    NotInContract(&'static str),
    /// Two servers have one name.
    #[error("{0} is registered twice")]
    Duplicate(&'static str),
    /// A legacy contract does not match the service that answers it.
    #[error(transparent)]
    Legacy(#[from] LegacyError),
    /// Reflection cannot describe the contracts.
    #[error("a descriptor set cannot be decoded for server reflection: {0}")]
    Reflection(#[from] prost::DecodeError),
}

// === impl Services ===

impl Services {
    /// Registers a generated tonic server. `descriptor_set` is the encoded descriptor set of its
    /// contract.
    ///
    /// # Errors
    ///
    /// If the set does not describe the service, or the service is registered already.
    pub fn serve<S>(
        &mut self,
        descriptor_set: &'static [u8],
        service: S,
    ) -> Result<(), ServiceError>
    where
        S: Service<Request<Body>, Response = Response<Body>, Error = Infallible, Future = Answer>
            + NamedService
            + Clone
            + Send
            + Sync
            + 'static,
    {
        let registered = Registered::new(descriptor_set, service)?;
        if self.registered.iter().any(|known| known.name == S::NAME) {
            return Err(ServiceError::Duplicate(S::NAME));
        }
        self.registered.push(registered);
        Ok(())
    }

    /// Registers the contract of older clients. [`Services::finish`] checks it.
    pub fn serve_legacy(&mut self, contract: LegacyContract) {
        self.legacy.push(contract);
    }

    /// The contracts of everything that is registered.
    pub fn contracts(&self) -> Contracts {
        Contracts {
            served: self.descriptor_sets(false),
            legacy: self.legacy.clone(),
        }
    }

    /// The descriptor sets of everything that is registered, each once.
    pub fn descriptor_sets(&self, legacy_names: bool) -> Vec<&'static [u8]> {
        let legacy = self.legacy.iter().filter(|_| legacy_names);
        let legacy = legacy.map(|contract| contract.descriptor_set);
        let mut sets: Vec<&'static [u8]> = Vec::new();
        for set in self.served_sets().chain(legacy) {
            if !sets.contains(&set) {
                sets.push(set);
            }
        }
        sets
    }

    /// Adds health and reflection, checks the legacy contracts, and serves their names if
    /// `legacy_names`. `metrics` must count the calls of the port.
    ///
    /// # Errors
    ///
    /// [`ServiceError::Legacy`] even if `legacy_names` is false; [`ServiceError::Reflection`].
    pub fn finish(
        self,
        legacy_names: bool,
        metrics: &ServerMetrics,
    ) -> Result<(Arc<Methods>, Health), ServiceError> {
        let sets: Vec<_> = self.served_sets().collect();
        let aliases = legacy::resolve(&self.legacy, &sets)?;
        let mut methods = Methods::default();
        let mut names: BTreeSet<String> = BTreeSet::new();
        for service in &self.registered {
            names.insert(service.name.to_owned());
            service.add_methods(&mut methods, metrics, false);
        }
        let mut legacy_methods = Vec::new();
        for alias in aliases {
            let Some(current) = methods.find(alias.uri.path()) else {
                return Err(LegacyError::no_handler(&alias).into());
            };
            legacy_methods.push(Method {
                metrics: metrics.method(&alias.old_path),
                path: alias.old_path.into(),
                kind: current.kind,
                unlimited: false,
                handler: Arc::clone(&current.handler),
                rewritten: Some(alias.uri),
            });
            if legacy_names {
                names.insert(alias.old_service.to_owned());
            }
        }
        if legacy_names {
            legacy_methods.into_iter().for_each(|m| methods.insert(m));
        }
        let described = self.descriptor_sets(legacy_names);
        let health = standard::add(&mut methods, metrics, names, &described)?;
        Ok((Arc::new(methods), health))
    }

    fn served_sets(&self) -> impl Iterator<Item = &'static [u8]> {
        self.registered.iter().map(|service| service.descriptor_set)
    }
}

impl fmt::Debug for Services {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.registered.iter().map(|service| service.name);
        f.debug_list().entries(names).finish()
    }
}

// === impl Registered ===

impl Registered {
    pub(crate) fn new<S>(descriptor_set: &'static [u8], service: S) -> Result<Self, ServiceError>
    where
        S: Service<Request<Body>, Response = Response<Body>, Error = Infallible, Future = Answer>
            + NamedService
            + Clone
            + Send
            + Sync
            + 'static,
    {
        let methods = methods_of(descriptor_set, S::NAME)?;
        Ok(Self {
            name: S::NAME,
            descriptor_set,
            // Generated servers are always ready, and cheap to clone.
            handler: Arc::new(move |request| service.clone().call(request)),
            methods,
        })
    }

    pub(crate) fn add_methods(
        &self,
        methods: &mut Methods,
        metrics: &ServerMetrics,
        unlimited: bool,
    ) {
        for (method, kind) in &self.methods {
            let path = format!("/{}/{method}", self.name);
            methods.insert(Method {
                metrics: metrics.method(&path),
                path: path.into(),
                kind: *kind,
                unlimited,
                handler: Arc::clone(&self.handler),
                rewritten: None,
            });
        }
    }
}

fn methods_of(
    descriptor_set: &[u8],
    service: &'static str,
) -> Result<Vec<(String, MethodKind)>, ServiceError> {
    let set = FileDescriptorSet::decode(descriptor_set);
    let set = set.map_err(|source| ServiceError::Decode { service, source })?;
    for file in &set.file {
        let name = service.strip_prefix(file.package());
        let name = name.map(|name| name.strip_prefix('.').unwrap_or(name));
        let found = file.service.iter().find(|found| Some(found.name()) == name);
        if let Some(found) = found {
            let method = |method: &prost_types::MethodDescriptorProto| {
                let kind = MethodKind::new(method.client_streaming(), method.server_streaming());
                (method.name().to_owned(), kind)
            };
            return Ok(found.method.iter().map(method).collect());
        }
    }
    Err(ServiceError::NotInContract(service))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use vitalmesh_proto::{counter, legacy as old, time};

    use super::*;

    const HEALTH: &[u8] = crate::pb::health::FILE_DESCRIPTOR_SET;

    #[derive(Clone)]
    struct TimeService;

    impl NamedService for TimeService {
        const NAME: &'static str = "vitalmesh.time.v1.TimeService";
    }

    impl Service<Request<Body>> for TimeService {
        type Response = Response<Body>;
        type Error = Infallible;
        type Future = Answer;

        fn poll_ready(
            &mut self,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Result<(), Infallible>> {
            std::task::Poll::Ready(Ok(()))
        }

        fn call(&mut self, request: Request<Body>) -> Answer {
            let path = HeaderValue::from_str(request.uri().path()).unwrap();
            let mut response = Response::new(Body::empty());
            response.headers_mut().insert("path", path);
            Box::pin(async { Ok(response) })
        }
    }

    const LEGACY_TIME: LegacyContract = LegacyContract {
        descriptor_set: old::TIME,
        answered_by: &[(
            "dj.grpc.time.TimeProcedureApi/WhatTimeIs",
            "vitalmesh.time.v1.TimeService/WhatTimeIs",
        )],
    };

    fn metrics() -> ServerMetrics {
        let metrics = ServerMetrics::builder().descriptor_set(time::v1::FILE_DESCRIPTOR_SET);
        metrics
            .register(&grpc_prometheus::Exposition::default())
            .unwrap()
    }

    /// The path that the handler of `path` receives.
    async fn handled(methods: &Methods, path: &str) -> Option<String> {
        let request = Request::post(path).body(Body::empty()).unwrap();
        let response = methods.find(path)?.call(request).await.unwrap();
        let received = response.headers().get("path")?;
        Some(received.to_str().unwrap().to_owned())
    }

    #[tokio::test]
    async fn one_registration_gives_routes_kinds_health_and_reflection() {
        let mut services = Services::default();
        services
            .serve(time::v1::FILE_DESCRIPTOR_SET, TimeService)
            .unwrap();
        let sets = services.descriptor_sets(true);
        assert_eq!(sets, [time::v1::FILE_DESCRIPTOR_SET]);
        let (methods, health) = services.finish(true, &metrics()).unwrap();
        let path = "/vitalmesh.time.v1.TimeService/WhatTimeIs";
        assert_eq!(handled(&methods, path).await.as_deref(), Some(path));
        assert!(methods.find(path).unwrap().metrics.is_some());
        let kind = |path: &str| {
            methods
                .find(path)
                .map(|method| (method.kind, method.unlimited))
        };
        assert_eq!(kind(path), Some((MethodKind::Unary, false)));
        let watch = kind("/grpc.health.v1.Health/Watch");
        assert_eq!(watch, Some((MethodKind::Streaming, true)));
        for reflection in ["v1", "v1alpha"] {
            let path =
                format!("/grpc.reflection.{reflection}.ServerReflection/ServerReflectionInfo");
            assert_eq!(kind(&path), Some((MethodKind::Streaming, false)));
        }
        for unknown in [
            "/",
            "/grpc.health.v1.Health",
            "/grpc.health.v1.Health/Nope",
            "/a/b/c",
        ] {
            assert_eq!(kind(unknown), None, "{unknown}");
        }
        assert_eq!(health.services(), ["", "vitalmesh.time.v1.TimeService"]);
    }

    #[tokio::test]
    async fn a_legacy_name_leads_to_the_method_that_answers_it_unless_it_is_off() {
        let services = || {
            let mut services = Services::default();
            services
                .serve(time::v1::FILE_DESCRIPTOR_SET, TimeService)
                .unwrap();
            services.serve_legacy(LEGACY_TIME);
            services
        };
        let path = "/dj.grpc.time.TimeProcedureApi/WhatTimeIs";
        let (methods, health) = services().finish(true, &metrics()).unwrap();
        let received = handled(&methods, path).await;
        let current = "/vitalmesh.time.v1.TimeService/WhatTimeIs";
        assert_eq!(received.as_deref(), Some(current));
        assert_eq!(
            health.services(),
            [
                "",
                "dj.grpc.time.TimeProcedureApi",
                "vitalmesh.time.v1.TimeService",
            ]
        );
        assert_eq!(services().descriptor_sets(true).len(), 2);

        let (methods, health) = services().finish(false, &metrics()).unwrap();
        assert_eq!(handled(&methods, path).await, None);
        assert_eq!(health.services(), ["", "vitalmesh.time.v1.TimeService"]);
        assert_eq!(services().descriptor_sets(false).len(), 1);
    }

    #[tokio::test]
    async fn a_legacy_name_without_a_server_is_rejected_even_if_it_is_off() {
        for legacy_names in [true, false] {
            let mut services = Services::default();
            services.serve_legacy(LEGACY_TIME);
            let error = services.finish(legacy_names, &metrics()).unwrap_err();
            assert!(error.to_string().contains("not served"), "{error}");
        }
    }

    #[test]
    fn a_service_that_its_contract_does_not_have_is_rejected() {
        let mut services = Services::default();
        let error = services
            .serve(counter::v1::FILE_DESCRIPTOR_SET, TimeService)
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            "the descriptor set has no service vitalmesh.time.v1.TimeService; pass the one of \
             its own contract"
        );
        let error = services.serve(b"proto", TimeService).unwrap_err();
        assert!(error.to_string().contains("cannot be decoded"), "{error}");
        services
            .serve(time::v1::FILE_DESCRIPTOR_SET, TimeService)
            .unwrap();
        let error = services
            .serve(time::v1::FILE_DESCRIPTOR_SET, TimeService)
            .unwrap_err();
        assert!(error.to_string().contains("registered twice"), "{error}");
        assert_eq!(
            methods_of(HEALTH, "grpc.health.v1.Health").unwrap()[0].0,
            "Check"
        );
    }
}
