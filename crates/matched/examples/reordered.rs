//! Three calls over a stream that responds in reverse order:
//! `cargo run --package vitalmesh-matched --example reordered`.

use std::convert::identity;

use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use tonic::Status;
use vitalmesh_matched::{Matched, Protocol, Requests, Settings};

/// Takes three requests at a time, and responds to the last one first.
struct Reordered;

struct Message {
    text: String,
    id: u64,
}

// === impl Reordered ===

impl Protocol for Reordered {
    type Request = Message;
    type Response = Message;
    type Responses = BoxStream<'static, Result<Message, Status>>;

    async fn open(&self, requests: Requests<Self>) -> Result<Self::Responses, Status> {
        let responses = requests.chunks(3).map(|requests| {
            let reversed = requests.into_iter().rev();
            stream::iter(reversed.map(|request| {
                println!("response to {}", request.text);
                let text = request.text.to_uppercase();
                Ok(Message { text, ..request })
            }))
        });
        Ok(responses.flat_map(identity).boxed())
    }

    fn set_id(request: &mut Message, id: u64) {
        request.id = id;
    }

    fn id(response: &Message) -> u64 {
        response.id
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Status> {
    let matched = Matched::new(Reordered, Settings::default());
    let call = async |text: &str| {
        let request = Message {
            text: text.to_owned(),
            id: 0,
        };
        let response = matched.call(request).await?;
        Ok::<_, Status>(format!("{text} -> {}", response.text))
    };
    let results = tokio::try_join!(call("one"), call("two"), call("three"))?;
    println!("{results:?}");
    Ok(())
}
