//! The bookstore under its old names.

use futures_util::TryStreamExt;
use http::uri::PathAndQuery;
use tonic::Code;
use tonic::client::Grpc;
use tonic_prost::ProstCodec;
use vitalmesh_proto::bookstore::v1::bookstore_service_client::BookstoreServiceClient;
use vitalmesh_proto::bookstore::v1::{
    Book, CreateBookRequest, ListBooksRequest, RetrieveBookRequest,
};
use vitalmesh_tests::{bookstore, channel, eventually_eq};

use crate::fixture::{call, handled};

const LIST_BOOK: &str = "/BookController/ListBook";
const CREATE_BOOK: &str = "/BookController/CreateBook";
const RETRIEVE_BOOK: &str = "/BookController/RetrieveBook";

#[tokio::test]
async fn a_book_created_by_an_old_name_is_read_by_the_new_one() {
    let data = tempfile::tempdir().unwrap();
    let books = bookstore(data.path(), &[]).start().await.unwrap();
    let addresses = books.addresses();
    let draft = CreateBookRequest {
        author: "Ada Lovelace".to_owned(),
        link: "https://example.com/notes".to_owned(),
        pages: 66,
        title: "Notes".to_owned(),
        year: 1843,
        ..CreateBookRequest::default()
    };
    let stored: Book = call(addresses.grpc, CREATE_BOOK, draft).await.unwrap();
    let request = RetrieveBookRequest {
        book_id: stored.book_id,
    };
    let old: Book = call(addresses.grpc, RETRIEVE_BOOK, request).await.unwrap();
    let mut client = BookstoreServiceClient::new(channel(addresses.grpc));
    let new = client.retrieve_book(request).await.unwrap().into_inner();
    assert_eq!((&old, &new), (&stored, &stored));
    let missing = RetrieveBookRequest { book_id: i32::MAX };
    let response = call::<_, Book>(addresses.grpc, RETRIEVE_BOOK, missing).await;
    assert_eq!(response.unwrap_err().code(), Code::NotFound);

    let mut grpc = Grpc::new(channel(addresses.grpc));
    grpc.ready().await.unwrap();
    let request = tonic::Request::new(ListBooksRequest {
        start: Some(1843),
        end: Some(1843),
    });
    let path = PathAndQuery::from_static(LIST_BOOK);
    let listed = grpc.server_streaming(request, path, ProstCodec::<_, Book>::default());
    let listed: Vec<_> = listed
        .await
        .unwrap()
        .into_inner()
        .try_collect()
        .await
        .unwrap();
    assert!(listed.contains(&stored), "{listed:?}");
    for (path, code, calls) in [
        (CREATE_BOOK, "OK", 1.0),
        (RETRIEVE_BOOK, "OK", 1.0),
        (RETRIEVE_BOOK, "NotFound", 1.0),
    ] {
        let counted = async || handled(addresses.scrape, path, code).await;
        eventually_eq(Some(calls), counted).await;
    }
}
