//! A handler that takes five seconds, called with a deadline of 100 ms.

use std::convert::Infallible;
use std::time::Duration;

use http::{Request, Response};
use http_body_util::Empty;
use tower::{Layer, ServiceExt, service_fn};
use vitalmesh_context::{CallContext, DeadlineLayer};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Infallible> {
    let slow = service_fn(async |_: Request<()>| {
        tokio::time::sleep(Duration::from_secs(5)).await;
        Ok::<_, Infallible>(Response::new(Empty::<bytes::Bytes>::new()))
    });
    let call = DeadlineLayer.layer(slow).oneshot(Request::new(()));
    let context = CallContext::root(Some(Duration::from_millis(100)));
    let response = context.scope(call).await?;
    println!("trace {}: {:?}", context.trace, response.headers());
    Ok(())
}
