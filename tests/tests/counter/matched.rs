//! Many callers on one stream.

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::future::{join_all, try_join_all};
use tonic::transport::Channel;
use tonic::{Code, Status};
use vitalmesh_counter::Increase;
use vitalmesh_matched::{Matched, Settings};
use vitalmesh_tests::{counter, eventually, within};

use crate::fixture::{client, counts, num};

fn matched(address: SocketAddr) -> Matched<Increase<Channel>> {
    Matched::new(Increase(client(address)), Settings::default())
}

#[tokio::test]
async fn many_callers_share_one_stream_and_get_their_own_responses() {
    let counter = counter(&[]).start().await.unwrap();
    let addresses = counter.addresses();
    let increase = matched(addresses.grpc);
    let caller = async |first: i32| {
        for at in first..first + 20 {
            assert_eq!(increase.call(num(at)).await?.num, at + 1);
        }
        Ok::<_, Status>(())
    };
    try_join_all((0..50).map(|first| caller(first * 1000)))
        .await
        .unwrap();

    let calls = [i32::MAX, 1].map(|last| increase.call(num(last)));
    let [failed, fine] = join_all(calls).await.try_into().unwrap();
    assert_eq!(failed.unwrap_err().code(), Code::OutOfRange);
    assert_eq!(fine.unwrap().num, 2);

    drop(increase);
    let of = async || counts(addresses.scrape, ("IncreaseStream", "bidi_stream")).await;
    // Dropping the last caller half-closes the stream, so it ends without an error.
    vitalmesh_tests::eventually_eq([1.0, 1.0, 1002.0, 1002.0], of).await;
}

#[tokio::test]
async fn calls_fail_when_the_counter_stops_and_succeed_when_it_is_back() {
    let first = counter(&["--drain-timeout", "100ms"])
        .start()
        .await
        .unwrap();
    let address = first.addresses().grpc;
    let increase = matched(address);
    assert_eq!(increase.call(num(1)).await.unwrap().num, 2);
    first.stop().await;
    let call = within(Duration::from_secs(5), increase.call(num(2)));
    assert_eq!(call.await.0.unwrap_err().code(), Code::Unavailable);

    let flags = ["--grpc-address", &address.to_string()];
    let _second = counter(&flags).start().await.unwrap();
    let response = eventually("a response", async || increase.call(num(3)).await.ok()).await;
    assert_eq!(response.num, 4);
}
