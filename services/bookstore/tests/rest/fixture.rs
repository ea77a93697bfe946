//! A bookstore behind its REST routes, and one that fails on demand.

use axum::Router;
use axum::body::Body;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, Request, StatusCode};
use futures_util::stream::{self, BoxStream, StreamExt};
use http_body_util::BodyExt;
use prometheus::Registry;
use serde_json::{Value, json};
use tempfile::TempDir;
use tonic::service::Routes;
use tonic::{Code, Response, Status};
use tower::ServiceExt;
use vitalmesh_bookstore::{Bookstore, Store, Upstream, router};
use vitalmesh_proto::bookstore::v1::bookstore_service_client::BookstoreServiceClient;
use vitalmesh_proto::bookstore::v1::bookstore_service_server::{
    BookstoreService, BookstoreServiceServer,
};
use vitalmesh_proto::bookstore::v1::{
    Book, CreateBookRequest, ListBooksRequest, ListRecommendationsRequest,
    ListRecommendationsResponse, RecommendBooksRequest, Recommendation, RetrieveBookRequest,
};
use vitalmesh_store::Limits;

/// A bookstore's routes and its gRPC side.
pub(crate) struct Bookshop {
    router: Router,
    grpc: Routes,
    _folder: Option<TempDir>,
}

pub(crate) struct RestResponse {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

/// Sends `rows` messages on a stream, and then fails. Unary calls fail at once.
#[derive(Clone, Debug)]
pub(crate) struct Failing {
    pub(crate) rows: i32,
    pub(crate) code: Code,
}

// === impl Bookshop ===

impl Bookshop {
    pub(crate) async fn open() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path(), Limits::default()).await.unwrap();
        let bookstore = Bookstore::new(store, &Registry::new()).unwrap();
        Self::over(BookstoreServiceServer::new(bookstore), 2, Some(folder))
    }

    pub(crate) fn over<S: BookstoreService>(
        service: BookstoreServiceServer<S>,
        max_downloads: usize,
        folder: Option<TempDir>,
    ) -> Self {
        let grpc = Routes::new(service);
        let streams = grpc.clone();
        Self {
            router: router(Upstream::new(
                grpc.clone(),
                move || streams.clone(),
                max_downloads,
            )),
            grpc,
            _folder: folder,
        }
    }

    pub(crate) fn client(&self) -> BookstoreServiceClient<Routes> {
        BookstoreServiceClient::new(self.grpc.clone())
    }

    pub(crate) async fn call(&self, request: Request<Body>) -> axum::http::Response<Body> {
        self.router.clone().oneshot(request).await.unwrap()
    }

    pub(crate) async fn ask(&self, request: Request<Body>) -> RestResponse {
        let (head, body) = self.call(request).await.into_parts();
        RestResponse {
            status: head.status,
            headers: head.headers,
            body: body.collect().await.unwrap().to_bytes().to_vec(),
        }
    }

    pub(crate) async fn get(&self, path: &str) -> RestResponse {
        self.ask(Request::get(path).body(Body::empty()).unwrap())
            .await
    }

    pub(crate) async fn post(&self, content_type: &str, body: impl Into<Body>) -> RestResponse {
        let request = Request::post("/books").header(CONTENT_TYPE, content_type);
        self.ask(request.body(body.into()).unwrap()).await
    }
}

// === impl RestResponse ===

impl RestResponse {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub(crate) fn lines(&self) -> Vec<Value> {
        let lines = std::str::from_utf8(&self.body).unwrap().lines();
        lines
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    /// The detail of a problem document with this status.
    pub(crate) fn problem(&self, status: u16) -> String {
        assert_eq!(
            self.status,
            status,
            "{}",
            String::from_utf8_lossy(&self.body)
        );
        assert_eq!(self.headers[CONTENT_TYPE], "application/problem+json");
        assert_eq!(self.json()["status"], status);
        self.json()["detail"].as_str().unwrap().to_owned()
    }
}

// === impl Failing ===

#[tonic::async_trait]
impl BookstoreService for Failing {
    type ListBooksStream = BoxStream<'static, Result<Book, Status>>;
    type RecommendBooksStream = BoxStream<'static, Result<Recommendation, Status>>;

    async fn list_books(
        &self,
        _: tonic::Request<ListBooksRequest>,
    ) -> Result<Response<Self::ListBooksStream>, Status> {
        let rows = (0..self.rows).map(|_| Ok(Book::default()));
        let failure = stream::iter([Err(Status::new(self.code, "on demand"))]);
        Ok(Response::new(stream::iter(rows).chain(failure).boxed()))
    }

    async fn retrieve_book(
        &self,
        _: tonic::Request<RetrieveBookRequest>,
    ) -> Result<Response<Book>, Status> {
        Err(Status::new(self.code, "on demand"))
    }

    async fn create_book(
        &self,
        _: tonic::Request<CreateBookRequest>,
    ) -> Result<Response<Book>, Status> {
        Err(Status::new(self.code, "on demand"))
    }

    async fn recommend_books(
        &self,
        _: tonic::Request<RecommendBooksRequest>,
    ) -> Result<Response<Self::RecommendBooksStream>, Status> {
        let row = |id| {
            Ok(Recommendation {
                id,
                title: "a \"b\"".to_owned(),
            })
        };
        let failure = stream::iter([Err(Status::new(self.code, "on demand"))]);
        Ok(Response::new(
            stream::iter((1..=self.rows).map(row))
                .chain(failure)
                .boxed(),
        ))
    }

    async fn list_recommendations(
        &self,
        _: tonic::Request<ListRecommendationsRequest>,
    ) -> Result<Response<ListRecommendationsResponse>, Status> {
        Err(Status::new(self.code, "on demand"))
    }
}

pub(crate) fn emma() -> Value {
    json!({
        "author": "Jane Austen", "country": "United Kingdom", "language": "English",
        "link": "https://en.wikipedia.org/wiki/Emma_(novel)", "pages": 1036, "title": "Emma",
        "year": 1815,
    })
}
