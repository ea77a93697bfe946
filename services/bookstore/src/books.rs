//! The handlers of the bookstore service.

use std::ops::RangeInclusive;

use futures_util::stream::{self, BoxStream};
use futures_util::{StreamExt, TryStreamExt};
use prometheus::{IntCounter, Registry};
use tonic::{Request, Response, Status};
use vitalmesh_proto::bookstore::v1::bookstore_service_server::BookstoreService;
use vitalmesh_proto::bookstore::v1::{
    Book, CreateBookRequest, ListBooksRequest, ListRecommendationsRequest,
    ListRecommendationsResponse, RecommendBooksRequest, Recommendation, RetrieveBookRequest,
};

use crate::draft::Draft;
use crate::recommendation_list::RecommendationList;
use crate::recommendations::{MAX_RECOMMENDATIONS, Recommendations};
use crate::store::{Cursor, Store, StoreError};

/// The bookstore's gRPC service.
#[derive(Clone, Debug)]
pub struct Bookstore {
    store: Store,
    recommendations: IntCounter,
}

// === impl Bookstore ===

impl Bookstore {
    /// Serves `store`, and registers a counter of recommendations.
    ///
    /// # Errors
    ///
    /// The registry has a metric of this name already.
    pub fn new(store: Store, registry: &Registry) -> prometheus::Result<Self> {
        let recommendations =
            IntCounter::new("mesh_recommendations_total", "Recommendations made.")?;
        registry.register(Box::new(recommendations.clone()))?;
        Ok(Self {
            store,
            recommendations,
        })
    }

    async fn recommend(&self, user_id: i32, count: i32) -> Result<Recommendations, Status> {
        if !(1..=MAX_RECOMMENDATIONS).contains(&count) {
            let message = format!("max_results is {count}; send 1 to {MAX_RECOMMENDATIONS}");
            return Err(Status::invalid_argument(message));
        }
        let titles = self.store.titles().await?;
        Ok(Recommendations::new(
            user_id,
            titles,
            count,
            self.recommendations.clone(),
        ))
    }
}

#[tonic::async_trait]
impl BookstoreService for Bookstore {
    type ListBooksStream = BoxStream<'static, Result<Book, Status>>;
    type RecommendBooksStream = BoxStream<'static, Result<Recommendation, Status>>;

    async fn list_books(
        &self,
        request: Request<ListBooksRequest>,
    ) -> Result<Response<Self::ListBooksStream>, Status> {
        let years = years(request.get_ref())?;
        let store = self.store.clone();
        let pages = stream::try_unfold(Some(Cursor::before(&years)), move |cursor| {
            let (store, years) = (store.clone(), years.clone());
            async move {
                let Some(cursor) = cursor else {
                    return Ok(None);
                };
                let (books, next) = store.page(&years, cursor).await?;
                Ok::<_, Status>(Some((stream::iter(books.into_iter().map(Ok)), next)))
            }
        });
        Ok(Response::new(pages.try_flatten().boxed()))
    }

    async fn retrieve_book(
        &self,
        request: Request<RetrieveBookRequest>,
    ) -> Result<Response<Book>, Status> {
        let id = request.get_ref().book_id;
        match self.store.book(id).await? {
            Some(book) => Ok(Response::new(book)),
            None => Err(Status::not_found(format!("there is no book {id}"))),
        }
    }

    async fn create_book(
        &self,
        request: Request<CreateBookRequest>,
    ) -> Result<Response<Book>, Status> {
        let draft = Draft::try_from(request.into_inner())?;
        Ok(Response::new(self.store.create(draft).await?))
    }

    async fn recommend_books(
        &self,
        request: Request<RecommendBooksRequest>,
    ) -> Result<Response<Self::RecommendBooksStream>, Status> {
        let RecommendBooksRequest {
            user_id,
            max_results,
        } = request.into_inner();
        let recommendations = self.recommend(user_id, max_results).await?;
        Ok(Response::new(recommendations.boxed()))
    }

    async fn list_recommendations(
        &self,
        request: Request<ListRecommendationsRequest>,
    ) -> Result<Response<ListRecommendationsResponse>, Status> {
        let ListRecommendationsRequest {
            user_id,
            max_results,
        } = request.into_inner();
        let mut list = RecommendationList::default();
        for recommendation in self.recommend(user_id, max_results).await? {
            list.push(recommendation)?;
        }
        Ok(Response::new(list.into()))
    }
}

// === impl Status ===

impl From<StoreError> for Status {
    fn from(error: StoreError) -> Self {
        let message = error.to_string();
        match error {
            StoreError::Busy => Self::resource_exhausted(message),
            StoreError::Panicked => Self::internal(message),
            StoreError::Unwritable(_) | StoreError::Unreadable(_) | StoreError::Closed => {
                Self::unavailable(message)
            }
        }
    }
}

fn years(request: &ListBooksRequest) -> Result<RangeInclusive<i32>, Status> {
    match (request.start, request.end) {
        (None, None) => Ok(i32::MIN..=i32::MAX),
        (Some(start), Some(end)) if start <= end => Ok(start..=end),
        (Some(start), Some(end)) => Err(Status::invalid_argument(format!(
            "start ({start}) is after end ({end}); send the earlier year as start"
        ))),
        (Some(_), None) | (None, Some(_)) => Err(Status::invalid_argument(
            "only one of start and end is given; send both or neither",
        )),
    }
}

#[cfg(test)]
mod tests {
    use tonic::Code;

    use super::*;

    #[test]
    fn each_error_of_the_store_has_its_code() {
        for (error, code) in [
            (StoreError::Busy, Code::ResourceExhausted),
            (StoreError::Closed, Code::Unavailable),
            (StoreError::Panicked, Code::Internal),
        ] {
            assert_eq!(Status::from(error).code(), code);
        }
    }
}
