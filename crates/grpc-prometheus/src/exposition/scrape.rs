//! The response to a scrape, and a service that gives it.

use std::{
    convert::Infallible,
    future::{Ready, ready},
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode,
    header::{
        ACCEPT, ACCEPT_ENCODING, ALLOW, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, VARY,
    },
};
use http_body::{Body, Frame, SizeHint};
use tower_service::Service;

use super::{
    gzip::gzip,
    negotiation::{self, Content},
    registry::Exposition,
};

/// Answers scrapes of an [`Exposition`]: see [`Exposition::scrape_service`].
#[derive(Clone, Debug)]
pub struct ScrapeService {
    exposition: Exposition,
}

/// The body of a page: one frame of known length.
#[derive(Debug, Default)]
pub struct PageBody {
    /// `None` once it has been read.
    content: Option<Bytes>,
}

// === impl Exposition ===

impl Exposition {
    /// The page as a response to a request with these headers: in the format that `Accept` prefers,
    /// and with the feature `gzip` compressed if `Accept-Encoding` allows it.
    pub fn respond(&self, headers: &HeaderMap) -> Response<PageBody> {
        let accept = list(headers, &ACCEPT);
        let content = negotiation::content(accept.as_deref());
        let page = match content {
            Content::Page(format) => Bytes::from(self.page(format)),
            Content::Protobuf => self.protobuf().into(),
        };
        let zipped = list(headers, &ACCEPT_ENCODING)
            .filter(|accepted| negotiation::prefers_gzip(accepted))
            .and_then(|_| gzip(&page));
        let coding = zipped.as_ref().map(|_| "gzip");
        let mut response = Response::new(PageBody::new(zipped.unwrap_or(page)));
        let headers = response.headers_mut();
        headers.insert(
            CONTENT_TYPE,
            HeaderValue::from_static(content.content_type()),
        );
        headers.insert(VARY, HeaderValue::from_static("accept, accept-encoding"));
        if let Some(coding) = coding {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static(coding));
        }
        response
    }

    /// A service that responds to GET and HEAD with [`respond`](Self::respond), and to other
    /// methods with 405. It ignores the path: the router decides which paths it serves.
    ///
    /// It takes any request body, so axum (`route_service`) and hyper can serve it.
    pub fn scrape_service(&self) -> ScrapeService {
        ScrapeService {
            exposition: self.clone(),
        }
    }
}

/// All values of a list header, joined.
fn list(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    let values = headers.get_all(name).iter();
    let values: Vec<_> = values.filter_map(|value| value.to_str().ok()).collect();
    (!values.is_empty()).then(|| values.join(","))
}

/// The response without its content. hyper leaves that to the service in HTTP/2.
fn head(page: Response<PageBody>) -> Response<PageBody> {
    let length = page.body().size_hint().exact().unwrap_or(0);
    let mut head = page.map(|_| PageBody::default());
    head.headers_mut().insert(CONTENT_LENGTH, length.into());
    head
}

// === impl ScrapeService ===

impl<B> Service<Request<B>> for ScrapeService {
    type Response = Response<PageBody>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let page = || self.exposition.respond(request.headers());
        match *request.method() {
            Method::GET => return ready(Ok(page())),
            Method::HEAD => return ready(Ok(head(page()))),
            _ => {}
        }
        let mut response = Response::new(PageBody::default());
        *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
        let allowed = HeaderValue::from_static("GET, HEAD");
        response.headers_mut().insert(ALLOW, allowed);
        ready(Ok(response))
    }
}

// === impl PageBody ===

impl PageBody {
    fn new(content: Bytes) -> Self {
        Self {
            content: Some(content).filter(|content| !content.is_empty()),
        }
    }
}

impl Body for PageBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.content.take().map(|content| Ok(Frame::data(content))))
    }

    fn is_end_stream(&self) -> bool {
        self.content.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(
            self.content
                .as_ref()
                .map_or(0, |content| content.len() as u64),
        )
    }
}
