//! The request on the wire.

use http::{HeaderValue, Method, Request, Version, header};
use tokio::sync::mpsc;
use tonic::Code;
use tonic::body::Body;

use crate::client::{dial, request, unary};
use crate::served;
use crate::stack::Stack;

/// The head of `request` as its peer receives it, and the authority that it was sent to.
async fn received<S: Stack>(request: Request<Body>) -> (http::request::Parts, String) {
    let (client, mut wire) = dial::<S>();
    let (sender, mut heads) = mpsc::unbounded_channel();
    let call = client.start(request);
    served::serve(wire.io().await, move |request, respond| {
        let (head, body) = request.into_parts();
        sender.send(head).unwrap();
        served::echo(Request::new(body), respond)
    });
    assert_eq!(call.await.unwrap().unwrap().code(), Code::Ok);
    (heads.recv().await.unwrap(), wire.authority())
}

pub(crate) async fn the_pseudo_headers_name_the_origin_and_the_method<S: Stack>() {
    let (head, authority) = received::<S>(unary()).await;
    assert_eq!((head.method, head.version), (Method::POST, Version::HTTP_2));
    assert_eq!(head.uri.scheme_str(), Some("http"));
    assert_eq!(head.uri.authority().unwrap().as_str(), authority);
    assert_eq!(head.uri.path(), "/test.Echo/Unary");
    assert!(!head.headers.contains_key(header::HOST));
}

pub(crate) async fn the_origin_replaces_an_authority_that_the_request_has<S: Stack>() {
    let elsewhere = request("https://elsewhere.test:1/test.Echo/Unary", Body::empty());
    let (head, authority) = received::<S>(elsewhere).await;
    let expected = format!("http://{authority}/test.Echo/Unary");
    assert_eq!(head.uri.to_string(), expected);
}

pub(crate) async fn the_headers_of_the_caller_arrive_as_they_are<S: Stack>() {
    let mut sent = unary();
    let headers = sent.headers_mut();
    headers.insert("grpc-timeout", HeaderValue::from_static("250m"));
    headers.append("x-twice", HeaderValue::from_static("1"));
    headers.append("x-twice", HeaderValue::from_static("2"));
    headers.append("x-raw-bin", HeaderValue::from_static("AAEC"));
    let (head, _) = received::<S>(sent).await;
    assert_eq!(head.headers["te"], "trailers");
    assert_eq!(head.headers["content-type"], "application/grpc");
    assert_eq!(head.headers["grpc-timeout"], "250m");
    assert_eq!(head.headers["x-raw-bin"], "AAEC");
    let twice: Vec<_> = head.headers.get_all("x-twice").iter().collect();
    assert_eq!(twice, ["1", "2"]);
}

pub(crate) async fn headers_of_http_1_connections_are_left_out<S: Stack>() {
    let mut sent = unary();
    let headers = sent.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("keep-alive"));
    headers.insert("keep-alive", HeaderValue::from_static("timeout=5"));
    headers.insert("proxy-connection", HeaderValue::from_static("close"));
    headers.insert(header::TE, HeaderValue::from_static("gzip"));
    let (head, _) = received::<S>(sent).await;
    for name in ["connection", "keep-alive", "proxy-connection", "te"] {
        assert!(!head.headers.contains_key(name), "{name}");
    }
}

pub(crate) async fn a_request_without_a_user_agent_gets_one<S: Stack>() {
    let (head, _) = received::<S>(unary()).await;
    let agent = head.headers["user-agent"].to_str().unwrap();
    let (name, version) = agent.split_once('/').unwrap();
    assert!(
        !name.is_empty() && version.split('.').count() == 3,
        "{agent}"
    );
}

pub(crate) async fn the_user_agent_of_the_caller_stays<S: Stack>() {
    let mut sent = unary();
    let agent = HeaderValue::from_static("probe/1.2");
    sent.headers_mut().insert(header::USER_AGENT, agent);
    let (head, _) = received::<S>(sent).await;
    let agents: Vec<_> = head.headers.get_all(header::USER_AGENT).iter().collect();
    assert_eq!(agents, ["probe/1.2"]);
}
