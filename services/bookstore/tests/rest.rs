//! Every REST route, good and bad, before a bookstore of its own or one that fails as told.
#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::header::{ALLOW, CONTENT_TYPE, LOCATION};
use axum::http::{HeaderMap, Method, Request, StatusCode};
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
struct Shop {
    router: Router,
    grpc: Routes,
    _folder: Option<TempDir>,
}

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Vec<u8>,
}

/// Gives what it has, and then fails.
#[derive(Clone, Debug)]
struct Failing {
    given: i32,
    code: Code,
}

// === impl Shop ===

impl Shop {
    async fn open() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path(), Limits::default()).await.unwrap();
        let bookstore = Bookstore::new(store, &Registry::new()).unwrap();
        Self::before(BookstoreServiceServer::new(bookstore), 2, Some(folder))
    }

    fn before<S: BookstoreService>(
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

    fn client(&self) -> BookstoreServiceClient<Routes> {
        BookstoreServiceClient::new(self.grpc.clone())
    }

    async fn respond(&self, request: Request<Body>) -> axum::http::Response<Body> {
        self.router.clone().oneshot(request).await.unwrap()
    }

    async fn ask(&self, request: Request<Body>) -> Answer {
        let (head, body) = self.respond(request).await.into_parts();
        Answer {
            status: head.status,
            headers: head.headers,
            body: body.collect().await.unwrap().to_bytes().to_vec(),
        }
    }

    async fn get(&self, path: &str) -> Answer {
        self.ask(Request::get(path).body(Body::empty()).unwrap())
            .await
    }

    async fn post(&self, content_type: &str, body: impl Into<Body>) -> Answer {
        let request = Request::post("/books").header(CONTENT_TYPE, content_type);
        self.ask(request.body(body.into()).unwrap()).await
    }
}

// === impl Answer ===

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    fn lines(&self) -> Vec<Value> {
        let lines = std::str::from_utf8(&self.body).unwrap().lines();
        lines
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    /// The detail of a problem document with this status.
    fn problem(&self, status: u16) -> String {
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
        let given = (0..self.given).map(|_| Ok(Book::default()));
        let failure = stream::iter([Err(Status::new(self.code, "on demand"))]);
        Ok(Response::new(stream::iter(given).chain(failure).boxed()))
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
            stream::iter((1..=self.given).map(row))
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

fn emma() -> Value {
    json!({
        "author": "Jane Austen", "country": "United Kingdom", "language": "English",
        "link": "https://en.wikipedia.org/wiki/Emma_(novel)", "pages": 1036, "title": "Emma",
        "year": 1815,
    })
}

#[tokio::test]
async fn what_rest_wrote_rest_and_grpc_read() {
    let shop = Shop::open().await;
    let created = shop.post("application/json", emma().to_string()).await;
    assert_eq!(created.status, 201);
    let mut expected = emma();
    expected["book_id"] = created.json()["book_id"].clone();
    assert_eq!(created.json(), expected);

    let location = created.headers[LOCATION].to_str().unwrap();
    let read = shop.get(location).await;
    assert_eq!(
        (read.status, read.json()),
        (StatusCode::OK, expected.clone())
    );
    let book_id = i32::try_from(expected["book_id"].as_i64().unwrap()).unwrap();
    let book = shop
        .client()
        .retrieve_book(RetrieveBookRequest { book_id })
        .await
        .unwrap();
    assert_eq!(book.get_ref().title, "Emma");
    assert_eq!(book.get_ref().year, 1815);
}

#[tokio::test]
async fn what_grpc_wrote_rest_reads() {
    let shop = Shop::open().await;
    let request = CreateBookRequest {
        author: "somebody".to_owned(),
        link: "http://a".to_owned(),
        pages: 1,
        title: "a book".to_owned(),
        ..CreateBookRequest::default()
    };
    let book_id = shop
        .client()
        .create_book(request)
        .await
        .unwrap()
        .into_inner()
        .book_id;
    let expected = json!({
        "book_id": book_id, "author": "somebody", "country": "", "language": "",
        "link": "http://a", "pages": 1, "title": "a book", "year": 0,
    });
    assert_eq!(
        shop.get(&format!("/books/{book_id}")).await.json(),
        expected
    );
    assert_eq!(
        shop.get("/books?start=0&end=0").await.json(),
        json!([expected])
    );
}

#[tokio::test]
async fn a_wrong_book_is_refused_with_every_wrong_field() {
    let shop = Shop::open().await;
    let mut wrong = emma();
    wrong["title"] = json!(" ");
    wrong["pages"] = json!(0);
    let answer = shop.post("application/json", wrong.to_string()).await;
    let expected = "pages is not 1 to 100000; title is not 1 to 300 characters";
    assert_eq!(answer.problem(400), expected);
    assert_eq!(answer.json()["grpc_code"], "InvalidArgument");
}

#[tokio::test]
async fn an_empty_object_is_refused_with_every_missing_field() {
    let shop = Shop::open().await;
    let answer = shop.post("application/json", "{}").await;
    assert_eq!(
        answer.problem(400),
        "author is not 1 to 300 characters; \
         link is no http or https URL of at most 2000 characters; pages is not 1 to 100000; \
         title is not 1 to 300 characters"
    );
    assert_eq!(answer.json()["grpc_code"], "InvalidArgument");
}

#[tokio::test]
async fn fields_of_another_type_are_named_with_all_that_is_wrong_and_unknown() {
    let shop = Shop::open().await;
    for (field, value, expected) in [
        ("pages", json!("ten"), "pages is no 32-bit integer"),
        ("pages", json!(1.5), "pages is no 32-bit integer"),
        ("year", json!(1e12), "year is no 32-bit integer"),
        ("country", json!(null), "country is no text"),
        ("title", json!(["Emma"]), "title is no text"),
        ("price", json!(5), "price is no field of a book"),
        ("\u{1b}[1m", json!(5), "[1m is no field of a book"),
    ] {
        let mut book = emma();
        book[field] = value;
        let answer = shop.post("application/json", book.to_string()).await;
        assert_eq!(answer.problem(422), expected);
    }
    let mut wrong = json!({"country": "a\n", "language": "a\n", "pages": "", "year": ""});
    wrong["isbn"] = json!("0");
    let answer = shop.post("application/json", wrong.to_string()).await;
    let all = "author is not 1 to 300 characters; country has control characters; \
               language has control characters; \
               link is no http or https URL of at most 2000 characters; \
               pages is no 32-bit integer; title is not 1 to 300 characters; \
               year is no 32-bit integer";
    let detail = answer.problem(422);
    // The longest there is: what follows is cut at 256 characters, no field of a book is.
    assert_eq!(detail, format!("{all}; isbn is no")[..256]);
}

#[tokio::test]
async fn a_body_that_is_no_book_is_refused_with_the_reason() {
    let shop = Shop::open().await;
    let json = "application/json";
    assert!(shop.post(json, "{").await.problem(400).contains("line 1"));
    assert!(shop.post(json, "").await.problem(400).contains("EOF"));
    assert!(
        shop.post(json, "[]")
            .await
            .problem(422)
            .contains("expected")
    );
    let plain = shop.post("text/plain", emma().to_string()).await;
    assert!(plain.problem(415).contains("application/json"));
    let large = format!("{{\"title\":\"{}\"}}", "a".repeat(64 << 10));
    assert!(shop.post(json, large).await.problem(413).contains("limit"));
}

#[tokio::test(start_paused = true)]
async fn a_body_that_never_comes_is_waited_for_five_seconds() {
    let folder = tempfile::tempdir().unwrap();
    let failing = Failing {
        given: 0,
        code: Code::Internal,
    };
    let shop = Shop::before(BookstoreServiceServer::new(failing), 1, Some(folder));
    let begun = tokio::time::Instant::now();
    let never = Body::from_stream(stream::pending::<Result<Vec<u8>, std::io::Error>>());
    let answer = shop.post("application/json", never).await;
    assert!(answer.problem(408).contains("within 5 s"));
    assert_eq!(begun.elapsed(), Duration::from_secs(5));
}

#[tokio::test]
async fn an_id_that_is_none_and_one_that_nobody_has_are_told_apart() {
    let shop = Shop::open().await;
    for path in [
        "/books/0",
        "/books/-1",
        "/books/x",
        "/books/1.5",
        "/books/2147483648",
    ] {
        assert!(
            shop.get(path)
                .await
                .problem(400)
                .contains("1 to 2147483647"),
            "{path}"
        );
    }
    let missing = shop.get("/books/2147483647").await;
    assert_eq!(missing.problem(404), "there is no book 2147483647");
}

#[tokio::test]
async fn a_list_is_one_array_of_the_years_asked_for() {
    let shop = Shop::open().await;
    let all = shop.get("/books").await;
    assert_eq!(all.headers[CONTENT_TYPE], "application/json");
    assert!(all.json().as_array().unwrap().len() >= 100);
    let two = shop.get("/books?start=-750&end=-725").await.json();
    assert_eq!(
        (&two[0]["title"], &two[1]["title"]),
        (&json!("Iliad"), &json!("Odyssey"))
    );
    assert_eq!(two[2], Value::Null);
    assert_eq!(
        shop.get("/books?start=-749&end=-726").await.json(),
        json!([])
    );
}

#[tokio::test]
async fn years_that_make_no_sense_are_refused() {
    let shop = Shop::open().await;
    for (query, reason) in [
        ("start=1", "send both or neither"),
        ("end=1", "send both or neither"),
        ("start=2&end=1", "after end"),
        ("start=x&end=1", "start"),
        ("start=1&end=99999999999", "end"),
        ("start=1&start=2&end=3", "start"),
    ] {
        let answer = shop.get(&format!("/books?{query}")).await;
        assert!(answer.problem(400).contains(reason), "{query}");
    }
}

#[tokio::test]
async fn recommendations_are_lines_and_the_users_own() {
    let shop = Shop::open().await;
    let answer = shop.get("/1000?user_id=7").await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.headers[CONTENT_TYPE], "application/x-ndjson");
    assert_eq!(answer.body.last(), Some(&b'\n'));
    let request = RecommendBooksRequest {
        user_id: 7,
        max_results: 1000,
    };
    let stream = shop
        .client()
        .recommend_books(request)
        .await
        .unwrap()
        .into_inner();
    let expected: Vec<_> = stream
        .map(|one| one.unwrap())
        .map(|one| json!({"id": one.id, "title": one.title}))
        .collect()
        .await;
    assert_eq!(answer.lines(), expected);
    assert_ne!(shop.get("/1000").await.lines(), expected);
}

#[tokio::test]
async fn a_count_that_is_none_is_refused() {
    let shop = Shop::open().await;
    for path in [
        "/0",
        "/-1",
        "/x",
        "/1.5",
        "/10000001",
        "/99999999999",
        "/favicon.ico",
    ] {
        assert!(
            shop.get(path)
                .await
                .problem(400)
                .contains("from 1 to 10000000"),
            "{path}"
        );
    }
    assert!(
        shop.get("/5?user_id=x")
            .await
            .problem(400)
            .contains("user_id")
    );
}

#[tokio::test]
async fn a_failure_half_way_is_told_and_the_body_is_cut() {
    let failing = Failing {
        given: 2,
        code: Code::Unavailable,
    };
    let shop = Shop::before(BookstoreServiceServer::new(failing), 1, None);
    for (path, rows) in [("/10", 2), ("/books", 2)] {
        let request = Request::get(path).body(Body::empty()).unwrap();
        let response = shop.respond(request).await;
        assert_eq!(response.status(), 200);
        let mut body = response.into_body();
        let mut said = Vec::new();
        let cut = loop {
            match body.frame().await.unwrap() {
                Ok(frame) => said.extend(frame.into_data().unwrap()),
                Err(error) => break error,
            }
        };
        assert!(cut.to_string().contains("on demand"), "{cut}");
        let said = String::from_utf8(said).unwrap();
        let lines: Vec<_> = said.lines().collect();
        assert_eq!(lines.len(), rows + 1, "{said}");
        let last: Value = serde_json::from_str(lines[rows]).unwrap();
        assert_eq!(last["error"]["grpc_code"], "Unavailable");
        assert_eq!(last["error"]["detail"], "on demand");
    }
}

#[tokio::test]
async fn a_call_that_fails_is_a_problem_with_its_code() {
    for (code, status) in [(Code::Unavailable, 503), (Code::DeadlineExceeded, 504)] {
        let shop = Shop::before(
            BookstoreServiceServer::new(Failing { given: 0, code }),
            1,
            None,
        );
        assert_eq!(shop.get("/books/1").await.problem(status), "on demand");
        let posted = shop.post("application/json", emma().to_string()).await;
        assert_eq!(posted.problem(status), "on demand");
    }
}

#[tokio::test]
async fn only_so_many_downloads_are_open_and_an_ended_one_makes_room() {
    let shop = Shop::open().await;
    let open = async || {
        let request = Request::get("/10000000").body(Body::empty()).unwrap();
        let response = shop.respond(request).await;
        assert_eq!(response.status(), 200);
        response.into_body()
    };
    let (first, _second) = (open().await, open().await);
    for path in ["/1", "/books"] {
        let refused = shop.get(path).await;
        assert!(
            refused.problem(429).starts_with("2 streams are open"),
            "{path}"
        );
        assert_eq!(refused.headers["retry-after"], "1");
    }
    assert_eq!(shop.get("/books/1").await.status, 200);
    drop(first);
    assert_eq!(shop.get("/1").await.lines().len(), 1);
}

#[tokio::test]
async fn unknown_paths_and_methods_are_problems() {
    let shop = Shop::open().await;
    assert!(
        shop.get("/books/1/pages")
            .await
            .problem(404)
            .contains("/openapi.json")
    );
    for (method, path, allowed) in [
        (Method::DELETE, "/books", "GET,HEAD,POST"),
        (Method::PUT, "/books/1", "GET,HEAD"),
        (Method::POST, "/5", "GET,HEAD"),
    ] {
        let request = Request::builder().method(method).uri(path);
        let answer = shop.ask(request.body(Body::empty()).unwrap()).await;
        assert!(answer.problem(405).contains("allow header"), "{path}");
        let allow = answer.headers[ALLOW].to_str().unwrap();
        let mut methods: Vec<_> = allow.split(',').collect();
        methods.sort_unstable();
        assert_eq!(methods.join(","), allowed, "{path}");
    }
}

#[tokio::test]
async fn the_document_is_openapi_3_1_and_names_every_route() {
    let shop = Shop::open().await;
    let document = shop.get("/openapi.json").await;
    assert_eq!(document.headers[CONTENT_TYPE], "application/json");
    let document = document.json();
    assert_eq!(document["openapi"], "3.1.0");
    let paths = document["paths"].as_object().unwrap();
    let routes: Vec<_> = paths
        .iter()
        .flat_map(|(path, methods)| {
            let methods = methods.as_object().unwrap().keys();
            methods.map(move |method| format!("{method} {path}"))
        })
        .collect();
    let expected = [
        "get /books",
        "post /books",
        "get /books/{book_id}",
        "get /{n}",
    ];
    assert_eq!(routes, expected);
    let count = &document["paths"]["/{n}"]["get"]["parameters"][0]["schema"];
    assert_eq!(
        (&count["minimum"], &count["maximum"]),
        (&json!(1), &json!(10_000_000))
    );
}

#[tokio::test]
async fn the_page_loads_nothing_from_elsewhere() {
    let shop = Shop::open().await;
    let page = shop.get("/").await;
    assert!(
        page.headers[CONTENT_TYPE]
            .to_str()
            .unwrap()
            .starts_with("text/html")
    );
    let policy = page.headers["content-security-policy"].to_str().unwrap();
    assert!(policy.starts_with("default-src 'none'"), "{policy}");
    let page = String::from_utf8(page.body).unwrap();
    assert!(page.contains("fetch(\"/openapi.json\")"));
    assert!(!page.contains("http://") && !page.contains("https://"));
}
