//! Panics: only the call that panics is `Internal`, whatever ends beside it.

use std::{
    convert::Infallible,
    future::{self, Future, Pending, Ready},
    panic::{self, AssertUnwindSafe},
    pin::pin,
    task::{Context, Waker},
};

use http::{Request, Response};
use tonic::body::Body;
use tower::{Layer, Service, service_fn};

use crate::{
    deadlines::unary,
    duplex::{client, server},
    expect::{calls, exactly, nonzero_samples},
};

const FAR: &str = "1H";

type Answer = Result<Response<Body>, Infallible>;

fn hang<B>(_: Request<B>) -> Pending<Answer> {
    future::pending()
}

fn panic_when_called<B>(_: Request<B>) -> Ready<Answer> {
    panic!("as the test wants it")
}

async fn panic_when_polled<B>(_: Request<B>) -> Answer {
    panic!("as the test wants it")
}

fn poll(future: impl Future) {
    _ = pin!(future).poll(&mut Context::from_waker(Waker::noop()));
}

fn caught(panicking: impl FnOnce()) {
    panic::catch_unwind(AssertUnwindSafe(panicking)).unwrap_err();
}

#[test]
fn a_client_call_beside_a_handler_that_panics_in_the_same_task_is_canceled() {
    let (server_page, server) = server();
    let (client_page, client) = client();
    let mut asking = client.layer().unboxed().layer(service_fn(hang));
    let handler = service_fn(move |_| {
        let upstream = asking.call(unary(FAR));
        async move {
            tokio::select! {
                biased;
                _ = upstream => unreachable!(),
                () = async { panic!("as the test wants it") } => unreachable!(),
            }
            #[expect(unreachable_code, reason = "gives the block its type")]
            Answer::Ok(Response::default())
        }
    });
    let mut service = server.layer().layer(handler);
    caught(|| poll(service.call(unary(FAR))));
    let panicked = calls("server", "Unary", "Internal", 0, 0);
    assert_eq!(nonzero_samples(&server_page), exactly(&[panicked]));
    let innocent = calls("client", "Unary", "Canceled", 0, 0);
    assert_eq!(nonzero_samples(&client_page), exactly(&[innocent]));
}

#[test]
fn a_call_that_a_foreign_panic_drops_is_canceled() {
    let (server_page, server) = server();
    let (client_page, client) = client();
    caught(|| {
        let _server = server.layer().layer(service_fn(hang)).call(unary(FAR));
        let client = client.layer().unboxed();
        let _client = client.layer(service_fn(hang)).call(unary(FAR));
        panic!("as the test wants it");
    });
    let dropped = calls("server", "Unary", "Canceled", 0, 0);
    assert_eq!(nonzero_samples(&server_page), exactly(&[dropped]));
    let dropped = calls("client", "Unary", "Canceled", 0, 0);
    assert_eq!(nonzero_samples(&client_page), exactly(&[dropped]));
}

#[test]
fn a_service_that_panics_when_it_is_called_or_polled_is_internal() {
    let (server_page, server) = server();
    caught(|| {
        drop(
            server
                .layer()
                .layer(service_fn(panic_when_called))
                .call(unary(FAR)),
        )
    });
    caught(|| {
        poll(
            server
                .layer()
                .layer(service_fn(panic_when_polled))
                .call(unary(FAR)),
        )
    });
    assert_eq!(server.snapshot().handled[13], 2);
    assert_eq!(server.snapshot().started, 2);
    drop(server_page);

    let (client_page, client) = client();
    let layer = client.layer().unboxed();
    caught(|| drop(layer.layer(service_fn(panic_when_called)).call(unary(FAR))));
    caught(|| poll(layer.layer(service_fn(panic_when_polled)).call(unary(FAR))));
    assert_eq!(client.snapshot().handled[13], 2);
    assert_eq!(client.snapshot().started, 2);
    drop(client_page);
}
