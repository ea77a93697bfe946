//! The two steps of a port's shutdown.

use tokio_util::sync::CancellationToken;

/// Stops ports in two steps. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Shutdown {
    lame_duck: CancellationToken,
    drain: CancellationToken,
}

// === impl Shutdown ===

impl Shutdown {
    /// Moves clients away: responses on HTTP/1 carry `Connection: close`, and open HTTP/2
    /// connections get GOAWAY. New connections and calls are still accepted.
    pub fn begin_lame_duck(&self) {
        self.lame_duck.cancel();
    }

    /// Accepts no further connections, and closes each after its requests in progress.
    pub fn begin_drain(&self) {
        self.lame_duck.cancel();
        self.drain.cancel();
    }

    pub(super) async fn lame_duck(&self) {
        self.lame_duck.cancelled().await;
    }

    pub(super) async fn drain(&self) {
        self.drain.cancelled().await;
    }
}
