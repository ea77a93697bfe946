//! Every RPC, with valid and invalid requests, over a store of its own.
#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

use futures_util::TryStreamExt;
use prometheus::Registry;
use prost::Message;
use tempfile::TempDir;
use tonic::service::Routes;
use tonic::{Code, Status};
use vitalmesh_bookstore::{Bookstore, Store};
use vitalmesh_proto::bookstore::v1::bookstore_service_client::BookstoreServiceClient;
use vitalmesh_proto::bookstore::v1::bookstore_service_server::BookstoreServiceServer;
use vitalmesh_proto::bookstore::v1::{
    Book, CreateBookRequest, ListBooksRequest, ListRecommendationsRequest, RecommendBooksRequest,
    Recommendation, RetrieveBookRequest,
};
use vitalmesh_store::Limits;

type Client = BookstoreServiceClient<Routes>;

/// The message size that clients accept by default.
const MESSAGE_LIMIT: usize = 4 << 20;

async fn bookstore() -> (Client, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path(), Limits::default()).await.unwrap();
    let bookstore = Bookstore::new(store, &Registry::new()).unwrap();
    let routes = Routes::new(BookstoreServiceServer::new(bookstore));
    (BookstoreServiceClient::new(routes), folder)
}

fn emma() -> CreateBookRequest {
    CreateBookRequest {
        author: "Jane Austen".to_owned(),
        country: "United Kingdom".to_owned(),
        language: "English".to_owned(),
        link: "https://en.wikipedia.org/wiki/Emma_(novel)".to_owned(),
        pages: 1036,
        title: "Emma".to_owned(),
        year: 1815,
    }
}

async fn list(client: &Client, start: Option<i32>, end: Option<i32>) -> Result<Vec<Book>, Status> {
    let request = ListBooksRequest { start, end };
    let books = client.clone().list_books(request).await?.into_inner();
    books.try_collect().await
}

async fn recommend(
    client: &Client,
    user_id: i32,
    max_results: i32,
) -> Result<Vec<Recommendation>, Status> {
    let request = RecommendBooksRequest {
        user_id,
        max_results,
    };
    let stream = client.clone().recommend_books(request).await?.into_inner();
    stream.try_collect().await
}

async fn list_recommendations(
    client: &Client,
    max_results: i32,
) -> Result<Vec<Recommendation>, Status> {
    let request = ListRecommendationsRequest {
        user_id: 7,
        max_results,
    };
    let response = client.clone().list_recommendations(request).await?;
    Ok(response.into_inner().recommendations)
}

#[tokio::test]
async fn a_created_book_is_returned_with_its_id_and_every_field() {
    let (mut client, _folder) = bookstore().await;
    let created = client.create_book(emma()).await.unwrap().into_inner();
    let expected = Book {
        book_id: created.book_id,
        author: "Jane Austen".to_owned(),
        country: "United Kingdom".to_owned(),
        language: "English".to_owned(),
        link: "https://en.wikipedia.org/wiki/Emma_(novel)".to_owned(),
        pages: 1036,
        title: "Emma".to_owned(),
        year: 1815,
    };
    assert_eq!(created, expected);
    let request = RetrieveBookRequest {
        book_id: created.book_id,
    };
    assert_eq!(
        client.retrieve_book(request).await.unwrap().into_inner(),
        expected
    );
    assert_eq!(
        list(&client, Some(1815), Some(1815)).await.unwrap(),
        [expected]
    );
}

#[tokio::test]
async fn the_same_book_twice_is_two_books() {
    let (mut client, _folder) = bookstore().await;
    let first = client.create_book(emma()).await.unwrap().into_inner();
    let second = client.create_book(emma()).await.unwrap().into_inner();
    assert_eq!(second.book_id, first.book_id + 1);
}

#[tokio::test]
async fn an_invalid_book_is_rejected_with_every_invalid_field_and_not_stored() {
    let (mut client, _folder) = bookstore().await;
    let before = list(&client, None, None).await.unwrap().len();
    let wrong = CreateBookRequest {
        title: String::new(),
        pages: 0,
        link: "ftp://a".to_owned(),
        ..emma()
    };
    let status = client.create_book(wrong).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    assert_eq!(
        status.message(),
        "link is not an http or https URL of at most 2000 characters; pages is not 1 to 100000; \
         title is not 1 to 300 characters"
    );
    assert_eq!(list(&client, None, None).await.unwrap().len(), before);
}

#[tokio::test]
async fn an_unknown_book_is_not_found() {
    let (mut client, _folder) = bookstore().await;
    for book_id in [0, -1, 1_000_000, i32::MIN, i32::MAX] {
        let status = client
            .retrieve_book(RetrieveBookRequest { book_id })
            .await
            .unwrap_err();
        let expected = format!("there is no book {book_id}");
        assert_eq!(
            (status.code(), status.message()),
            (Code::NotFound, expected.as_str())
        );
    }
}

#[tokio::test]
async fn a_new_store_lists_its_classics_oldest_first() {
    let (client, _folder) = bookstore().await;
    let books = list(&client, None, None).await.unwrap();
    assert!(books.len() >= 100, "{}", books.len());
    assert!(books.is_sorted_by_key(|book| (book.year, book.book_id)));
    assert_eq!(
        (books[0].title.as_str(), books[0].year),
        ("Epic of Gilgamesh", -1200)
    );
}

#[tokio::test]
async fn years_are_inclusive_and_may_be_negative() {
    let (client, _folder) = bookstore().await;
    let titles = async |start, end| -> Vec<String> {
        let books = list(&client, Some(start), Some(end)).await.unwrap();
        books.into_iter().map(|book| book.title).collect()
    };
    assert_eq!(titles(-750, -725).await, ["Iliad", "Odyssey"]);
    assert_eq!(titles(-749, -726).await, [""; 0]);
    assert_eq!(titles(-750, -750).await, ["Iliad"]);
    let all = list(&client, None, None).await.unwrap().len();
    assert_eq!(titles(i32::MIN, i32::MAX).await.len(), all);
}

#[tokio::test]
async fn invalid_years_are_rejected() {
    let (client, _folder) = bookstore().await;
    let one = "only one of start and end is given; send both or neither";
    let order = "start (1900) is after end (1800); send the earlier year as start";
    for (start, end, expected) in [
        (Some(1), None, one),
        (None, Some(1), one),
        (Some(1900), Some(1800), order),
    ] {
        let status = list(&client, start, end).await.unwrap_err();
        assert_eq!(
            (status.code(), status.message()),
            (Code::InvalidArgument, expected)
        );
    }
}

#[tokio::test]
async fn a_list_of_several_pages_has_every_book_once() {
    let (client, _folder) = bookstore().await;
    let create = |_| async {
        let book = client.clone().create_book(emma()).await.unwrap();
        book.into_inner().book_id
    };
    let mut created = futures_util::future::join_all((0..600).map(create)).await;
    created.sort_unstable();
    let listed = list(&client, Some(1815), Some(1815)).await.unwrap();
    let listed: Vec<_> = listed.iter().map(|book| book.book_id).collect();
    assert_eq!(listed, created);
}

#[tokio::test]
async fn recommendations_count_from_one_and_depend_on_the_user() {
    let (client, _folder) = bookstore().await;
    let recommended = recommend(&client, 7, 1000).await.unwrap();
    let ids: Vec<_> = recommended.iter().map(|one| one.id).collect();
    assert_eq!(ids, (1..=1000).collect::<Vec<_>>());
    assert_eq!(recommend(&client, 7, 1000).await.unwrap(), recommended);
    assert_ne!(recommend(&client, 8, 1000).await.unwrap(), recommended);
    assert_eq!(
        list_recommendations(&client, 1000).await.unwrap(),
        recommended
    );
}

#[tokio::test]
async fn a_count_out_of_range_is_rejected_by_both_calls() {
    let (client, _folder) = bookstore().await;
    for count in [0, -1, 10_000_001, i32::MIN, i32::MAX] {
        let expected = format!("max_results is {count}; send 1 to 10000000");
        for status in [
            recommend(&client, 7, count).await.unwrap_err(),
            list_recommendations(&client, count).await.unwrap_err(),
        ] {
            assert_eq!(status.code(), Code::InvalidArgument);
            assert_eq!(status.message(), expected);
        }
    }
}

#[tokio::test]
async fn too_many_for_one_message_are_rejected_with_the_count_that_fits() {
    let (client, _folder) = bookstore().await;
    let status = list_recommendations(&client, 10_000_000).await.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted);
    assert!(
        status.message().contains("RecommendBooks, which streams"),
        "{status}"
    );
    let number = |word: &str| word.parse::<i32>().ok();
    let most = status
        .message()
        .split(' ')
        .find_map(|word| number(word).filter(|n| *n > 4));
    let most = most.unwrap();

    let fits = list_recommendations(&client, most).await.unwrap();
    let bytes: usize = fits
        .iter()
        .map(|one| 1 + one.encode_length_delimited_to_vec().len())
        .sum();
    assert_eq!(fits.len(), most.unsigned_abs() as usize);
    assert!(
        bytes <= MESSAGE_LIMIT && bytes > MESSAGE_LIMIT - 100,
        "{bytes}"
    );
    let status = list_recommendations(&client, most + 1).await.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted);
}
