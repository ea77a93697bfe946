//! A call allocates nothing, once the table of calls has grown.
#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

use futures_util::StreamExt;
use futures_util::stream::Map;
use tokio::runtime::{Builder, Runtime};
use tonic::Status;
use vitalmesh_matched::{Matched, Protocol, Requests, Settings};

/// ResponseSender each request with itself.
struct Loopback;

#[derive(Debug)]
struct Message {
    number: u32,
    id: u64,
}

impl Protocol for Loopback {
    type Request = Message;
    type Response = Message;
    type Responses = Map<Requests<Self>, fn(Message) -> Result<Message, Status>>;

    async fn open(&self, requests: Requests<Self>) -> Result<Self::Responses, Status> {
        Ok(requests.map(Ok))
    }

    fn set_id(request: &mut Message, id: u64) {
        request.id = id;
    }

    fn id(response: &Message) -> u64 {
        response.id
    }
}

fn calls(runtime: &Runtime, matched: &Matched<Loopback>, count: u32) -> u64 {
    let measured = allocation_counter::measure(|| {
        runtime.block_on(async {
            for number in 0..count {
                let call = |number| matched.call(Message { number, id: 0 });
                let (one, two) = tokio::join!(call(number), call(number + 1));
                assert_eq!(
                    (one.unwrap().number, two.unwrap().number),
                    (number, number + 1)
                );
            }
        });
    });
    measured.count_total
}

#[test]
fn a_call_allocates_nothing() {
    let runtime = Builder::new_current_thread().enable_time().build().unwrap();
    let matched = Matched::new(Loopback, Settings::default());
    assert!(
        calls(&runtime, &matched, 1) > 0,
        "the counter measures nothing"
    );
    let few = calls(&runtime, &matched, 10);
    let many = calls(&runtime, &matched, 10_000);
    assert_eq!(few, many);
}
