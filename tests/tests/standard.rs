//! gRPC's own services on a port of the mesh: health and reflection.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::stream;
use prost::Message;
use prost_types::FileDescriptorProto;
use tonic::Code;
use vitalmesh_server::pb::health::health_check_response::ServingStatus;
use vitalmesh_server::pb::health::health_client::HealthClient;
use vitalmesh_server::pb::health::{HealthCheckRequest, HealthListRequest};
use vitalmesh_tests::{Mesh, channel, revert_name, within};

const REVERT_NAME: &str = "vitalmesh.revert_name.v1.RevertNameService";
const SOON: Duration = Duration::from_secs(3);

fn health_request(service: &str) -> HealthCheckRequest {
    HealthCheckRequest {
        service: service.to_owned(),
    }
}

#[tokio::test]
async fn list_names_the_port_and_every_service_that_it_serves() {
    let leaf = revert_name(&["--legacy-names", "off"]).start().await;
    let leaf = leaf.unwrap();
    let mut client = HealthClient::new(channel(leaf.addresses().grpc));
    let listed = client.list(HealthListRequest {}).await.unwrap();
    let listed = listed.into_inner().statuses;
    let listed: BTreeMap<_, _> = listed
        .iter()
        .map(|(service, response)| (service.as_str(), response.status()))
        .collect();
    let serving = ServingStatus::Serving;
    assert_eq!(
        listed,
        BTreeMap::from([("", serving), (REVERT_NAME, serving)])
    );
}

#[tokio::test]
async fn a_watch_of_an_unknown_service_is_open_until_the_drain() {
    let leaf = revert_name(&["--lame-duck", "200ms"]).start().await;
    let leaf = leaf.unwrap();
    let mut client = HealthClient::new(channel(leaf.addresses().grpc));
    let check = client.check(health_request("no.such.Service")).await;
    assert_eq!(check.unwrap_err().code(), Code::NotFound);
    let watch = client.watch(health_request("no.such.Service")).await;
    let mut watch = watch.unwrap().into_inner();
    let first = watch.message().await.unwrap().unwrap();
    assert_eq!(first.status(), ServingStatus::ServiceUnknown);
    let next = tokio::time::timeout(Duration::from_millis(100), watch.message()).await;
    assert!(next.is_err(), "{next:?}");
    within(SOON, leaf.stop()).await;
    assert!(matches!(watch.message().await, Ok(None) | Err(_)));
}

/// The same test for both versions of reflection, whose clients have different types.
macro_rules! reflection {
    ($test:ident, $version:ident) => {
        #[tokio::test]
        async fn $test() {
            use tonic_reflection::pb::$version::server_reflection_client::ServerReflectionClient;
            use tonic_reflection::pb::$version::server_reflection_request::MessageRequest;
            use tonic_reflection::pb::$version::server_reflection_response::MessageResponse;
            use tonic_reflection::pb::$version::{ExtensionRequest, ServerReflectionRequest};

            let mesh = Mesh::start().await;
            let mut client = ServerReflectionClient::new(channel(mesh.edge.addresses().grpc));
            let name = |name: &str| name.to_owned();
            let missing = ExtensionRequest {
                containing_type: name("google.protobuf.Timestamp"),
                extension_number: 1,
            };
            let requests = [
                MessageRequest::FileContainingSymbol(name("no.such.Symbol")),
                MessageRequest::FileByFilename(name("no_such.proto")),
                MessageRequest::FileContainingExtension(missing),
                MessageRequest::AllExtensionNumbersOfType(name("no.such.Message")),
                MessageRequest::AllExtensionNumbersOfType(name("google.protobuf.Timestamp")),
                MessageRequest::ListServices(String::new()),
                MessageRequest::FileContainingSymbol(name("vitalmesh.heartbeat.v1")),
                MessageRequest::FileContainingSymbol(name(
                    "vitalmesh.heartbeat.v1.HeartbeatService",
                )),
            ];
            let sent = requests.map(|request| ServerReflectionRequest {
                host: String::new(),
                message_request: Some(request),
            });
            let answers = client.server_reflection_info(stream::iter(sent.clone()));
            let mut answers = answers.await.unwrap().into_inner();
            let mut next = async |request: usize| {
                let answer = answers.message().await.unwrap().unwrap();
                assert_eq!(answer.original_request.as_ref(), Some(&sent[request]));
                answer.message_response.unwrap()
            };
            for request in 0..4 {
                let answer = next(request).await;
                let MessageResponse::ErrorResponse(error) = answer else {
                    panic!("{answer:?}");
                };
                assert_eq!(error.error_code, i32::from(Code::NotFound));
            }
            let answer = next(4).await;
            let MessageResponse::AllExtensionNumbersResponse(numbers) = answer else {
                panic!("{answer:?}");
            };
            assert_eq!(numbers.base_type_name, "google.protobuf.Timestamp");
            assert!(numbers.extension_number.is_empty());
            let answer = next(5).await;
            let MessageResponse::ListServicesResponse(list) = answer else {
                panic!("{answer:?}");
            };
            let listed: Vec<_> = list.service.iter().map(|service| &*service.name).collect();
            for service in [
                "grpc.health.v1.Health",
                "grpc.reflection.v1.ServerReflection",
                "grpc.reflection.v1alpha.ServerReflection",
                "vitalmesh.heartbeat.v1.HeartbeatService",
            ] {
                assert_eq!(listed.iter().filter(|name| **name == service).count(), 1);
            }
            assert!(matches!(next(6).await, MessageResponse::ErrorResponse(_)));
            let answer = next(7).await;
            let MessageResponse::FileDescriptorResponse(files) = answer else {
                panic!("{answer:?}");
            };
            let files = files.file_descriptor_proto.iter();
            let files = files.map(|file| FileDescriptorProto::decode(file.as_slice()).unwrap());
            let files: Vec<_> = files.collect();
            assert_eq!(files[0].package(), "vitalmesh.heartbeat.v1");
            // Complete: each import is there.
            for import in files.iter().flat_map(|file| &file.dependency) {
                assert!(files.iter().any(|file| file.name() == import), "{import}");
            }
            assert!(answers.message().await.unwrap().is_none());
        }
    };
}

reflection!(reflection_answers_every_request_of_a_stream, v1);
reflection!(
    reflection_v1alpha_answers_every_request_of_a_stream,
    v1alpha
);
