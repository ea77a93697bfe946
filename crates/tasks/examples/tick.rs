//! Runs a task each second for three seconds, then prints its metrics.

use std::error::Error;
use std::time::Duration;

use futures_util::FutureExt;
use prometheus::{Registry, TextEncoder};
use vitalmesh_tasks::{Task, Tasks};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    let tick = Task {
        name: "tick",
        schedule: "* * * * * *".parse()?,
        phase: Duration::ZERO,
        timeout: Duration::from_millis(500),
        at_start: false,
        work: Box::new(|| {
            async {
                println!("tick");
                Ok(())
            }
            .boxed()
        }),
    };
    let registry = Registry::new();
    let tasks = Tasks::start(vec![tick], &registry).await?;
    tokio::time::sleep(Duration::from_secs(3)).await;
    tasks.stop().await;
    print!(
        "{}",
        TextEncoder::new().encode_to_string(&registry.gather())?
    );
    Ok(())
}
