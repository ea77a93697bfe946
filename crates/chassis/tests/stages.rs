//! The services of one program stop stage after stage.
#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tonic::transport::Endpoint;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use vitalmesh_chassis::{
    Assembly, Bound, BoxError, Service, Settings, Stages, bind, parse, run_until,
};

/// The names of the services that have stopped, each with the health of its upstreams then.
type Stopped = Arc<Mutex<Vec<(&'static str, Vec<i32>)>>>;

/// A service without handlers. On shutdown, it checks the health of its upstreams.
#[derive(clap::Args, Clone, Debug)]
struct Bare {
    #[command(flatten)]
    settings: Settings,
    #[arg(skip)]
    label: &'static str,
    #[arg(skip)]
    upstreams: Vec<SocketAddr>,
    #[arg(skip)]
    stopped: Stopped,
}

impl Service for Bare {
    const NAME: &'static str = "bare";
    const GRPC_ADDRESS: &'static str = "127.0.0.1:0";
    const SCRAPE_ADDRESS: &'static str = "127.0.0.1:0";

    fn settings(&self) -> &Settings {
        &self.settings
    }

    async fn build(self, assembly: &mut Assembly) -> Result<(), BoxError> {
        assembly.on_stop(async move {
            let mut statuses = Vec::new();
            for upstream in self.upstreams {
                statuses.push(health(upstream).await);
            }
            self.stopped.lock().unwrap().push((self.label, statuses));
        });
        Ok(())
    }
}

async fn health(address: SocketAddr) -> i32 {
    let channel = Endpoint::from_shared(format!("http://{address}")).unwrap();
    let mut client = HealthClient::new(channel.connect_lazy());
    let response = client.check(HealthCheckRequest::default()).await.unwrap();
    response.into_inner().status
}

fn bare(label: &'static str, stopped: &Stopped) -> Bound<Bare> {
    let mut bound = bind(parse::<Bare>(["bare", "--lame-duck", "50ms"]).unwrap()).unwrap();
    bound.config_mut().label = label;
    bound.config_mut().stopped = Arc::clone(stopped);
    bound
}

#[test]
fn services_stop_after_their_callers_and_serve_until_then() {
    let stopped = Stopped::default();
    let mut front = bare("front", &stopped);
    let (one, two) = (bare("leaf", &stopped), bare("leaf", &stopped));
    front.config_mut().upstreams = vec![one.addresses().grpc, two.addresses().grpc];
    let start = async move {
        let leaves = [one.start().await?, two.start().await?];
        Ok(Stages::from(front.start().await?).then(leaves))
    };
    run_until(start, async {}).unwrap();
    let serving = i32::from(ServingStatus::Serving);
    assert_eq!(
        *stopped.lock().unwrap(),
        [
            ("front", vec![serving, serving]),
            ("leaf", vec![]),
            ("leaf", vec![])
        ]
    );
}
