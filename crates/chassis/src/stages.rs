//! The order in which the services of one program stop.

use futures_util::future::join_all;

use crate::running::Running;

/// The services of one program, in the stages in which they stop. A stage begins to stop after the
/// previous one has stopped, so put callers before the services that they call.
///
/// A `Vec<Running>` is one stage.
#[derive(Debug, Default)]
pub struct Stages(Vec<Vec<Running>>);

// === impl Stages ===

impl Stages {
    /// Adds services that stop together, after those added before.
    #[must_use]
    pub fn then(mut self, services: impl IntoIterator<Item = Running>) -> Self {
        self.0.push(services.into_iter().collect());
        self
    }

    pub(crate) async fn stop(self) {
        for stage in self.0 {
            join_all(stage.into_iter().map(Running::stop)).await;
        }
    }
}

impl From<Running> for Stages {
    fn from(service: Running) -> Self {
        Self::default().then([service])
    }
}

impl From<Vec<Running>> for Stages {
    fn from(services: Vec<Running>) -> Self {
        Self::default().then(services)
    }
}
