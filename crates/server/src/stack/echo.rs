//! Echoes the request's metadata in the response, to show what reaches a handler.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use pin_project_lite::pin_project;
use tower::{Layer, Service};

const PREFIX: &str = "echo-";
/// The number of values that the echo omits, if any.
const OMITTED: HeaderName = HeaderName::from_static("echo-omitted");
/// The size of an echo, in bytes of names (with prefix) and values: half of the 8 KiB that gRPC
/// clients accept by default.
const MAX_BYTES: usize = 4096;
const MAX_VALUES: usize = 32;
/// A name with one of these words between its separators may carry a secret and is never echoed.
const SECRET_WORDS: &str = "auth authorization cookie credential credentials csrf jwt key \
                            password secret session token";

/// Makes [`Echo`] services.
#[derive(Clone, Copy, Debug)]
pub(super) struct EchoLayer {
    enabled: bool,
}

/// Copies the request's metadata into the response headers under `echo-<name>`. `-bin` values keep
/// suffix and bytes. A response without messages carries the echo in its trailing metadata.
///
/// Headers of the protocol are left out. Values that may be secret or exceed the bounds are left
/// out and counted in `echo-omitted`.
#[derive(Clone, Debug)]
pub(super) struct Echo<S> {
    inner: S,
    enabled: bool,
}

pin_project! {
    /// Adds the echo to the response headers.
    #[derive(Debug)]
    pub(super) struct ResponseFuture<F> {
        #[pin]
        inner: F,
        echo: Option<Box<HeaderMap>>,
    }
}

// === impl EchoLayer ===

impl EchoLayer {
    pub(super) const fn new(enabled: bool) -> Self {
        Self { enabled }
    }
}

impl<S> Layer<S> for EchoLayer {
    type Service = Echo<S>;

    fn layer(&self, inner: S) -> Self::Service {
        let enabled = self.enabled;
        Echo { inner, enabled }
    }
}

// === impl Echo ===

impl<S, ReqB, ResB> Service<Request<ReqB>> for Echo<S>
where
    S: Service<Request<ReqB>, Response = Response<ResB>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<ReqB>) -> Self::Future {
        let echo = self.enabled.then(|| Box::new(echo(request.headers())));
        ResponseFuture {
            inner: self.inner.call(request),
            echo,
        }
    }
}

// === impl ResponseFuture ===

impl<F, B, E> Future for ResponseFuture<F>
where
    F: Future<Output = Result<Response<B>, E>>,
{
    type Output = Result<Response<B>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let mut response = ready!(this.inner.poll(cx))?;
        if let Some(echo) = this.echo.take() {
            response.headers_mut().extend(*echo);
        }
        Poll::Ready(Ok(response))
    }
}

fn echo(headers: &HeaderMap) -> HeaderMap {
    let mut echo = HeaderMap::new();
    let mut bytes = 0;
    let mut omitted = 0_usize;
    for (name, value) in headers.iter().filter(|(name, _)| !is_reserved(name)) {
        let size = PREFIX.len() + name.as_str().len() + value.len();
        let fits = echo.len() < MAX_VALUES && bytes + size <= MAX_BYTES;
        let prefixed = HeaderName::try_from(format!("{PREFIX}{name}"));
        match prefixed {
            Ok(prefixed) if fits && !may_be_secret(name, value) => {
                bytes += size;
                echo.append(prefixed, value.clone());
            }
            _ => omitted += 1,
        }
    }
    if omitted > 0 {
        echo.insert(OMITTED, HeaderValue::from(omitted));
    }
    echo
}

/// Headers that gRPC reserves; they are not metadata.
fn is_reserved(name: &HeaderName) -> bool {
    let name = name.as_str();
    matches!(name, "te" | "content-type" | "content-length") || name.starts_with("grpc-")
}

fn may_be_secret(name: &HeaderName, value: &HeaderValue) -> bool {
    let mut words = name.as_str().split(['-', '_', '.']);
    value.is_sensitive() || words.any(|word| SECRET_WORDS.split(' ').any(|secret| secret == word))
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use tonic::Status;
    use tonic::metadata::MetadataMap;
    use tower::{ServiceExt, service_fn};

    use super::*;

    async fn answered(enabled: bool, metadata: MetadataMap) -> MetadataMap {
        let handler = service_fn(async |request: Request<()>| {
            let got = request.headers().len();
            let head = Response::builder().header("got", got);
            Ok::<_, Infallible>(head.body(()).unwrap())
        });
        let mut request = Request::new(());
        *request.headers_mut() = metadata.into_headers();
        let response = EchoLayer::new(enabled)
            .layer(handler)
            .oneshot(request)
            .await;
        MetadataMap::from_headers(response.unwrap().headers().clone())
    }

    async fn echoed(metadata: MetadataMap) -> Vec<(String, Vec<u8>)> {
        let answer = answered(true, metadata).await.into_headers();
        let named = |(name, value): (&HeaderName, &HeaderValue)| {
            let name = name.as_str().strip_prefix(PREFIX)?;
            Some((name.to_owned(), value.as_bytes().to_vec()))
        };
        let mut echoed: Vec<_> = answer.iter().filter_map(named).collect();
        echoed.sort();
        echoed
    }

    fn ascii(pairs: &[(&'static str, &str)]) -> MetadataMap {
        let mut metadata = MetadataMap::new();
        for (name, value) in pairs {
            metadata.append(*name, value.parse().unwrap());
        }
        metadata
    }

    #[tokio::test]
    async fn nothing_is_echoed_unless_enabled_and_the_handler_gets_all_metadata() {
        for enabled in [false, true] {
            let answer = answered(enabled, ascii(&[("x-a", "1"), ("authorization", "b")])).await;
            assert_eq!(answer.get("got").unwrap(), "2");
            assert_eq!(answer.contains_key("echo-x-a"), enabled);
        }
    }

    #[tokio::test]
    async fn text_and_bytes_are_echoed_unchanged_and_in_order() {
        let mut metadata = ascii(&[("x-a", "one"), ("x-a", "two"), ("x-b", " spaced out ")]);
        let every_byte: Vec<u8> = (0..=255).collect();
        for bytes in [every_byte.as_slice(), b"", b"\0"] {
            metadata.append_bin("x-c-bin", tonic::metadata::MetadataValue::from_bytes(bytes));
        }
        let answer = answered(true, metadata).await;
        let text: Vec<_> = answer.get_all("echo-x-a").iter().collect();
        assert_eq!(text, ["one", "two"]);
        assert_eq!(answer.get("echo-x-b").unwrap(), " spaced out ");
        let bytes = answer.get_all_bin("echo-x-c-bin").iter();
        let bytes: Vec<_> = bytes.map(|value| value.to_bytes().unwrap()).collect();
        assert_eq!(bytes, [every_byte.as_slice(), b"", b"\0"]);
        assert!(!answer.contains_key("echo-omitted"));
    }

    #[tokio::test]
    async fn values_that_may_be_secret_are_omitted_and_counted() {
        let secrets = [
            "authorization",
            "proxy-authorization",
            "cookie",
            "x-api-key",
            "x-auth-request",
            "my_token",
            "session-bin",
        ];
        let mut metadata = ascii(&[("x-author", "Ana"), ("monkey", "no key")]);
        for secret in secrets {
            let name = HeaderName::from_static(secret);
            let mut headers = std::mem::take(&mut metadata).into_headers();
            headers.append(name, HeaderValue::from_static("aGlkZGVu"));
            metadata = MetadataMap::from_headers(headers);
        }
        let mut headers = metadata.into_headers();
        let mut marked = HeaderValue::from_static("hidden");
        marked.set_sensitive(true);
        headers.append("x-marked", marked);
        let expected = [("monkey", "no key"), ("omitted", "8"), ("x-author", "Ana")];
        let expected = expected.map(|(name, value)| (name.to_owned(), value.into()));
        assert_eq!(echoed(MetadataMap::from_headers(headers)).await, expected);
    }

    #[tokio::test]
    async fn reserved_headers_are_not_echoed() {
        let mut headers = HeaderMap::new();
        for name in [
            "te",
            "content-type",
            "content-length",
            "grpc-timeout",
            "grpc-encoding",
        ] {
            headers.append(name, HeaderValue::from_static("1"));
        }
        assert_eq!(echoed(MetadataMap::from_headers(headers)).await, []);
    }

    #[tokio::test]
    async fn an_echo_has_at_most_32_values() {
        for (values, expected) in [(32, None), (33, Some("1")), (40, Some("8"))] {
            let metadata = ascii(&vec![("x-a", "1"); values]);
            let answer = answered(true, metadata).await;
            assert_eq!(answer.get_all("echo-x-a").iter().count(), 32);
            let omitted = answer
                .get("echo-omitted")
                .map(|value| value.to_str().unwrap());
            assert_eq!(omitted, expected);
        }
    }

    #[tokio::test]
    async fn an_echo_has_at_most_4096_bytes_and_skips_larger_values() {
        let largest = "a".repeat(MAX_BYTES - "echo-x-a".len());
        assert_eq!(
            echoed(ascii(&[("x-a", &largest)])).await[0].1.len(),
            largest.len()
        );
        let larger = format!("{largest}a");
        let omitted = ("omitted".to_owned(), b"1".to_vec());
        let small = ("x-b".to_owned(), b"1".to_vec());
        let echoed = echoed(ascii(&[("x-a", &larger), ("x-b", "1")])).await;
        assert_eq!(echoed, [omitted, small]);
    }

    #[tokio::test]
    async fn a_response_without_messages_carries_the_echo_beside_its_status() {
        let refuse = service_fn(async |_: Request<()>| {
            Ok::<_, Infallible>(Status::not_found("nobody").into_http::<()>())
        });
        let request = Request::builder().header("x-a", "1").body(()).unwrap();
        let response = EchoLayer::new(true).layer(refuse).oneshot(request).await;
        let headers = response.unwrap().headers().clone();
        assert_eq!(
            (&headers["grpc-status"], &headers["echo-x-a"]),
            (&"5".parse().unwrap(), &"1".parse().unwrap())
        );
    }
}
