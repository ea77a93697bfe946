//! `grpc.reflection.v1.ServerReflection`, which also answers calls to `v1alpha`.

mod files;

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use tonic::{Code, Request, Response, Status, Streaming};

pub(crate) use self::files::Files;
use crate::pb::reflection as pb;
use crate::pb::reflection::server_reflection_request::MessageRequest;
use crate::pb::reflection::server_reflection_response::MessageResponse;

/// Describes the services of a port.
#[derive(Clone, Debug)]
pub(crate) struct Reflection {
    services: Arc<BTreeSet<String>>,
    files: Arc<Files>,
}

/// One call, with the files that it has sent.
struct Call {
    reflection: Reflection,
    requests: Streaming<pb::ServerReflectionRequest>,
    sent: HashSet<usize>,
}

type ReflectionResponse = Result<pb::ServerReflectionResponse, Status>;

// === impl Reflection ===

impl Reflection {
    /// Lists `services`, and describes everything in `files`.
    pub(crate) fn new(services: BTreeSet<String>, files: Files) -> Self {
        Self {
            services: Arc::new(services),
            files: Arc::new(files),
        }
    }

    fn answer(
        &self,
        request: pb::ServerReflectionRequest,
        sent: &mut HashSet<usize>,
    ) -> pb::ServerReflectionResponse {
        let answer = match &request.message_request {
            Some(message) => self.find(message, sent),
            None => Err((Code::InvalidArgument, "the request is empty".to_owned())),
        };
        let answer = answer.unwrap_or_else(|(code, error_message)| {
            MessageResponse::ErrorResponse(pb::ErrorResponse {
                error_code: code.into(),
                error_message,
            })
        });
        pb::ServerReflectionResponse {
            valid_host: request.host.clone(),
            original_request: Some(request),
            message_response: Some(answer),
        }
    }

    fn find(
        &self,
        request: &MessageRequest,
        sent: &mut HashSet<usize>,
    ) -> Result<MessageResponse, (Code, String)> {
        let files = &self.files;
        let (file, what) = match request {
            MessageRequest::ListServices(_) => return Ok(self.list()),
            MessageRequest::AllExtensionNumbersOfType(message) => {
                let numbers = files.extension_numbers(message);
                let numbers = numbers.ok_or_else(|| not_found(&format!("message {message}")))?;
                let response = pb::ExtensionNumberResponse {
                    base_type_name: message.clone(),
                    extension_number: numbers,
                };
                return Ok(MessageResponse::AllExtensionNumbersResponse(response));
            }
            MessageRequest::FileByFilename(name) => (files.named(name), format!("file {name}")),
            MessageRequest::FileContainingSymbol(symbol) => {
                (files.declaring(symbol), format!("symbol {symbol}"))
            }
            MessageRequest::FileContainingExtension(extension) => {
                let (message, number) = (&extension.containing_type, extension.extension_number);
                let what = format!("extension {number} of {message}");
                (files.extending(message, number), what)
            }
        };
        let file = file.ok_or_else(|| not_found(&what))?;
        let response = pb::FileDescriptorResponse {
            file_descriptor_proto: files.with_imports(file, sent),
        };
        Ok(MessageResponse::FileDescriptorResponse(response))
    }

    fn list(&self) -> MessageResponse {
        let names = self.services.iter().cloned();
        MessageResponse::ListServicesResponse(pb::ListServiceResponse {
            service: names.map(|name| pb::ServiceResponse { name }).collect(),
        })
    }
}

#[tonic::async_trait]
impl pb::server_reflection_server::ServerReflection for Reflection {
    type ServerReflectionInfoStream = BoxStream<'static, ReflectionResponse>;

    async fn server_reflection_info(
        &self,
        request: Request<Streaming<pb::ServerReflectionRequest>>,
    ) -> Result<Response<Self::ServerReflectionInfoStream>, Status> {
        let call = Call {
            reflection: self.clone(),
            requests: request.into_inner(),
            sent: HashSet::new(),
        };
        Ok(Response::new(stream::unfold(call, Call::next).boxed()))
    }
}

// === impl Call ===

impl Call {
    async fn next(mut self) -> Option<(ReflectionResponse, Self)> {
        let request = self.requests.message().await.transpose()?;
        let response = request.map(|request| self.reflection.answer(request, &mut self.sent));
        Some((response, self))
    }
}

fn not_found(what: &str) -> (Code, String) {
    (Code::NotFound, format!("{what} is not known here"))
}

#[cfg(test)]
mod tests {
    use prost::Message;
    use prost_types::{
        DescriptorProto, FieldDescriptorProto, FileDescriptorProto, FileDescriptorSet,
    };

    use super::*;

    fn field(name: &str, number: i32, extendee: Option<&str>) -> FieldDescriptorProto {
        FieldDescriptorProto {
            name: Some(name.to_owned()),
            number: Some(number),
            extendee: extendee.map(str::to_owned),
            ..FieldDescriptorProto::default()
        }
    }

    /// `base.proto` declares `p.Base`, which `more.proto` extends, in the file and in a message.
    fn reflection() -> Reflection {
        let base = FileDescriptorProto {
            name: Some("base.proto".to_owned()),
            package: Some("p".to_owned()),
            message_type: vec![DescriptorProto {
                name: Some("Base".to_owned()),
                field: vec![field("f", 1, None)],
                ..DescriptorProto::default()
            }],
            ..FileDescriptorProto::default()
        };
        let more = FileDescriptorProto {
            name: Some("more.proto".to_owned()),
            package: Some("p".to_owned()),
            dependency: vec!["base.proto".to_owned()],
            extension: vec![field("beside", 101, Some(".p.Base"))],
            message_type: vec![DescriptorProto {
                name: Some("Scope".to_owned()),
                extension: vec![field("inside", 100, Some(".p.Base"))],
                ..DescriptorProto::default()
            }],
            ..FileDescriptorProto::default()
        };
        let set = FileDescriptorSet {
            file: vec![more, base],
        };
        let files = Files::read([set.encode_to_vec().as_slice()]).unwrap();
        Reflection::new(BTreeSet::from(["p.S".to_owned()]), files)
    }

    fn asked(
        reflection: &Reflection,
        sent: &mut HashSet<usize>,
        request: MessageRequest,
    ) -> MessageResponse {
        let request = pb::ServerReflectionRequest {
            host: "h".to_owned(),
            message_request: Some(request),
        };
        let response = reflection.answer(request.clone(), sent);
        assert_eq!(response.valid_host, "h");
        assert_eq!(response.original_request, Some(request));
        response.message_response.unwrap()
    }

    /// The names of the files in a response.
    fn files(response: MessageResponse) -> Vec<String> {
        let MessageResponse::FileDescriptorResponse(files) = response else {
            panic!("{response:?}");
        };
        let files = files.file_descriptor_proto.iter();
        let name = |file: &Vec<u8>| {
            let file = FileDescriptorProto::decode(file.as_slice()).unwrap();
            file.name().to_owned()
        };
        files.map(name).collect()
    }

    fn extension(containing_type: &str, extension_number: i32) -> MessageRequest {
        MessageRequest::FileContainingExtension(pb::ExtensionRequest {
            containing_type: containing_type.to_owned(),
            extension_number,
        })
    }

    #[test]
    fn a_file_comes_with_its_imports_once_per_stream() {
        let reflection = reflection();
        let mut sent = HashSet::new();
        let more = || MessageRequest::FileByFilename("more.proto".to_owned());
        let first = asked(&reflection, &mut sent, more());
        assert_eq!(files(first), ["more.proto", "base.proto"]);
        let again = asked(&reflection, &mut sent, more());
        assert_eq!(files(again), ["more.proto"]);
        let other_stream = asked(&reflection, &mut HashSet::new(), more());
        assert_eq!(files(other_stream), ["more.proto", "base.proto"]);
    }

    #[test]
    fn a_symbol_is_found_with_or_without_a_leading_dot() {
        for (symbol, file) in [
            ("p.Base", "base.proto"),
            (".p.Base.f", "base.proto"),
            ("p.Scope", "more.proto"),
            ("p.beside", "more.proto"),
            ("p.Scope.inside", "more.proto"),
        ] {
            let request = MessageRequest::FileContainingSymbol(symbol.to_owned());
            let found = asked(&reflection(), &mut HashSet::new(), request);
            assert_eq!(files(found)[0], file, "{symbol}");
        }
    }

    #[test]
    fn extensions_are_found_by_message_and_number() {
        let reflection = reflection();
        for number in [100, 101] {
            let found = asked(
                &reflection,
                &mut HashSet::new(),
                extension("p.Base", number),
            );
            assert_eq!(files(found), ["more.proto", "base.proto"]);
        }
        for (message, expected) in [("p.Base", vec![100, 101]), ("p.Scope", vec![])] {
            let request = MessageRequest::AllExtensionNumbersOfType(message.to_owned());
            let numbers = asked(&reflection, &mut HashSet::new(), request);
            let expected = pb::ExtensionNumberResponse {
                base_type_name: message.to_owned(),
                extension_number: expected,
            };
            assert_eq!(
                numbers,
                MessageResponse::AllExtensionNumbersResponse(expected)
            );
        }
    }

    #[test]
    fn what_is_not_known_is_an_error_response() {
        let not_found = |error_message: &str| {
            MessageResponse::ErrorResponse(pb::ErrorResponse {
                error_code: 5,
                error_message: error_message.to_owned(),
            })
        };
        let name = |name: &str| name.to_owned();
        for (request, error) in [
            (
                MessageRequest::FileByFilename(name("no.proto")),
                "file no.proto is not known here",
            ),
            (
                MessageRequest::FileContainingSymbol(name("p.No")),
                "symbol p.No is not known here",
            ),
            (
                MessageRequest::FileContainingSymbol(name("")),
                "symbol  is not known here",
            ),
            (
                MessageRequest::AllExtensionNumbersOfType(name("p.No")),
                "message p.No is not known here",
            ),
            // A field is a symbol, but no message.
            (
                MessageRequest::AllExtensionNumbersOfType(name("p.Base.f")),
                "message p.Base.f is not known here",
            ),
            (
                extension("p.Base", 1),
                "extension 1 of p.Base is not known here",
            ),
            (
                extension("p.No", 100),
                "extension 100 of p.No is not known here",
            ),
        ] {
            let answer = asked(&reflection(), &mut HashSet::new(), request);
            assert_eq!(answer, not_found(error));
        }
        let empty = pb::ServerReflectionRequest::default();
        let answer = reflection().answer(empty, &mut HashSet::new());
        let expected = MessageResponse::ErrorResponse(pb::ErrorResponse {
            error_code: 3,
            error_message: "the request is empty".to_owned(),
        });
        assert_eq!(answer.message_response, Some(expected));
    }
}
