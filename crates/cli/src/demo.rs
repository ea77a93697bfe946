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
use self::load::{Load, Tally};
use self::tour::Tour;
use crate::prometheus::{HOW_TO_GET, Prometheus};
use crate::up::Mesh;

/// The flags of `mesh demo`.
#[derive(clap::Args, Debug)]
pub(crate) struct Demo {
    /// Keep the mesh and Prometheus for a look around after the tour, until Ctrl-C
    #[arg(long)]
    stay: bool,
}

// === impl Demo ===

impl Demo {
    /// Runs the mesh and a Prometheus with data of their own: the faults of an earlier tour would
    /// still be in the windows of the alerts.
    pub(crate) fn run(self) -> Result<(), BoxError> {
        let data = tempfile::Builder::new().prefix("mesh-demo-").tempdir()?;
        let ip = IpAddr::from(Ipv4Addr::LOCALHOST);
        let mesh = Mesh::bind(ip, data.path())?;
        let edge = mesh.http("edge").ok_or("the edge serves no HTTP")?;
        let prometheus = Prometheus::start(&mesh.targets(), data.path(), ip)?.ok_or(HOW_TO_GET)?;
        let api = Api::new(prometheus.address());

        let mut ended = None;
        run_until(mesh.start(), async {
            ended = Some(self.tour(edge, api).await);
            if self.stay && matches!(ended, Some(Ok(()))) {
                println!("\nThe mesh and Prometheus stay until Ctrl-C; the load has ended.");
                std::future::pending().await
            }
        })?;
        drop(prometheus);
        match ended {
            Some(Ok(())) => Ok(()),
            Some(Err(error)) => {
                let kept = data.keep();
                Err(format!(
                    "{error}; Prometheus' data and log are in {}",
                    kept.display()
                )
                .into())
            }
            None => Err("the tour was stopped before its end".into()),
        }
    }

    /// The tour under its load, which ends with it.
    async fn tour(&self, edge: SocketAddr, api: Api) -> Result<(), BoxError> {
        let tally = Arc::new(Tally::default());
        let (load, plan) = Load::new(edge, Arc::clone(&tally));
        let began = Instant::now();
        let mut tour = Tour::new(api, plan);
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
            "\nGreen again after {} s and {tally}.\n\
             Alerts that look back over hours may stay pending.",
            began.elapsed().as_secs()
        );
        Ok(())
    }
}
