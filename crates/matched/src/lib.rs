//! Many calls over one bidirectional gRPC stream, each answered by its id.
//!
//! A stream costs its headers once, where a unary call costs them each time; but a stream alone
//! has one caller, who must read in order. [`Matched`] gives it many: `call` takes a request,
//! sends it under an id of its own, and waits for the answer with that id. What is needed of the
//! messages is said in a [`Protocol`]:
//!
//! ```no_run
//! use tonic::{Status, Streaming};
//! use vitalmesh_matched::{Matched, Protocol, Requests, Settings};
//! use vitalmesh_proto::counter::v1::counter_service_client::CounterServiceClient;
//! use vitalmesh_proto::counter::v1::{IncreaseStreamRequest, IncreaseStreamResponse};
//! use vitalmesh_transport::Transport;
//!
//! struct Increase(CounterServiceClient<Transport>);
//!
//! impl Protocol for Increase {
//!     type Request = IncreaseStreamRequest;
//!     type Response = IncreaseStreamResponse;
//!     type Responses = Streaming<IncreaseStreamResponse>;
//!
//!     async fn open(&self, requests: Requests<Self>) -> Result<Self::Responses, Status> {
//!         Ok(self.0.clone().increase_stream(requests).await?.into_inner())
//!     }
//!
//!     fn set_id(request: &mut IncreaseStreamRequest, id: u64) {
//!         request.request_id = id;
//!     }
//!
//!     fn id(response: &IncreaseStreamResponse) -> u64 {
//!         response.request_id
//!     }
//! }
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let transport = Transport::new("http://127.0.0.1:50055".parse()?);
//! let client = CounterServiceClient::new(transport);
//! let increase = Matched::new(Increase(client), Settings::default());
//! let request = |num| IncreaseStreamRequest { num, request_id: 0 };
//! let (one, two) = tokio::try_join!(increase.call(request(0)), increase.call(request(1)))?;
//! assert_eq!((one.num, two.num), (1, 2));
//! # Ok(())
//! # }
//! ```
//!
//! # How a call ends
//!
//! | what happens | the call answers |
//! |---|---|
//! | an answer with its id comes | that answer, through [`Protocol::result`] |
//! | its deadline passes, also while it waits for room | DEADLINE_EXCEEDED |
//! | the stream ends, with a status or without | UNAVAILABLE with that status in its text and as its source |
//! | there is no stream and the next may not be opened yet | UNAVAILABLE at once |
//! | its future is dropped | nothing; its room is free at once |
//!
//! A request is sent once or not at all, never again on the next stream: after UNAVAILABLE or
//! DEADLINE_EXCEEDED the server may have done the work or not, and only the caller knows whether
//! to ask again. A cancelled call that was not sent yet never is. An answer that nobody waits for,
//! because it is late, a duplicate, or under an id that was never given, is counted in [`Stats`].
//!
//! # Bounds
//!
//! At most [`Settings::in_flight`] calls are in flight; more wait their turn, first come, first
//! served, each under its own deadline. Waiting is done in the callers' own futures, so that the
//! client's memory is bounded by what is in flight: one slot a call, in a table that is reused.
//! An id is a slot's number and how often it was used, so that matching is one indexed look, and
//! no call allocates here. No lock is held over an `await`.
#![warn(missing_docs)]

mod link;
mod matched;
mod protocol;
mod requests;
mod settings;
mod slots;

pub use self::matched::Matched;
pub use self::protocol::Protocol;
pub use self::requests::Requests;
pub use self::settings::{Reconnect, Settings, Stats};
