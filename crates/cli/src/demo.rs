//! `mesh demo`: a tour of two to three minutes, from light load to an alert that fires and clears.

mod api;
mod load;
mod script;
mod tour;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use tokio::time::Instant;
use vitalmesh_chassis::{BoxError, run_until};

use self::api::Api;
use self::load::{CallCounts, Load};
use self::tour::Tour;
use crate::prometheus::{HOW_TO_GET, Prometheus};
use crate::up::Mesh;

/// The flags of `mesh demo`.
#[derive(clap::Args, Debug)]
pub(crate) struct Demo {
    /// Keep the mesh and Prometheus running after the tour, until Ctrl-C
    #[arg(long)]
    stay: bool,
}

// === impl Demo ===

impl Demo {
    /// Runs the mesh and Prometheus on new data: the windows of the alerts would still contain the
    /// faults of an earlier tour.
    pub(crate) fn run(self) -> Result<(), BoxError> {
        let data = tempfile::Builder::new().prefix("mesh-demo-").tempdir()?;
        let ip = IpAddr::from(Ipv4Addr::LOCALHOST);
        let mesh = Mesh::bind(ip, data.path());
        let mesh = mesh.map_err(|error| error.advise("end the program that uses this port"))?;
        let edge = mesh.http("edge").ok_or("the edge serves no HTTP")?;
        let prometheus = Prometheus::start(&mesh.targets(), data.path(), ip)?.ok_or(HOW_TO_GET)?;
        let api = Api::new(prometheus.address());

        let mut outcome = None;
        run_until(mesh.start(), async {
            outcome = Some(self.tour(edge, api).await);
            if self.stay && matches!(outcome, Some(Ok(()))) {
                println!("\nThe mesh and Prometheus run until Ctrl-C; the load has ended.");
                std::future::pending().await
            }
        })?;
        drop(prometheus);
        match outcome {
            Some(Ok(())) => Ok(()),
            Some(Err(error)) => {
                let kept = data.keep();
                Err(format!(
                    "{error}; the data and the log of Prometheus are in {}",
                    kept.display()
                )
                .into())
            }
            None => Err("the tour was interrupted".into()),
        }
    }

    /// Runs the tour and its load, which ends with it.
    async fn tour(&self, edge: SocketAddr, api: Api) -> Result<(), BoxError> {
        let counts = Arc::new(CallCounts::default());
        let (load, profile) = Load::new(edge, Arc::clone(&counts));
        let started = Instant::now();
        let mut tour = Tour::new(api, profile);
        tour.ready().await?;
        let [graph, alerts] = api.pages().await;
        println!(
            "A tour of the mesh, two to three minutes, on this machine only.\n\n\
             Paste the expressions into {graph}\n\
             The alerts are at {alerts}\n\
             The panels are in the dashboards of `docker-compose up`, at http://localhost:3000"
        );
        tokio::select! {
            ended = tour.run(&script::STEPS) => ended?,
            never = load.run() => match never {},
        }
        println!(
            "\nGreen again after {} s and {counts}.\n\
             Alerts that look back over hours may stay pending.",
            started.elapsed().as_secs()
        );
        Ok(())
    }
}
