//! The service that the current task works for.

use std::future::Future;

use tokio::task::futures::TaskLocalFuture;

tokio::task_local! {
    static CURRENT: ServiceContext;
}

/// The name of the service that the current task works for, or none.
///
/// The chassis sets it while it builds a service. Layers and schedulers keep it, and set it around
/// calls and runs. Log lines read it: several services of one process share one log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ServiceContext(Option<&'static str>);

// === impl ServiceContext ===

impl ServiceContext {
    /// The context of work for the service `name`.
    pub const fn new(name: &'static str) -> Self {
        Self(Some(name))
    }

    /// The context of the running task.
    pub fn current() -> Self {
        CURRENT.try_with(|context| *context).unwrap_or_default()
    }

    /// The service's name.
    pub const fn name(self) -> Option<&'static str> {
        self.0
    }

    /// Runs a future under this context.
    pub fn scope<F: Future>(self, future: F) -> TaskLocalFuture<Self, F> {
        CURRENT.scope(self, future)
    }

    /// Runs a closure under this context.
    pub fn sync_scope<T>(self, run: impl FnOnce() -> T) -> T {
        CURRENT.sync_scope(self, run)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_scope_sets_the_service_and_inner_scopes_replace_it() {
        let current = || ServiceContext::current().name();
        assert_eq!(current(), None);
        ServiceContext::new("edge")
            .scope(async {
                assert_eq!(current(), Some("edge"));
                let inner = ServiceContext::new("time").sync_scope(current);
                assert_eq!((inner, current()), (Some("time"), Some("edge")));
                // A task that is spawned does not inherit it.
                assert_eq!(tokio::spawn(async move { current() }).await.unwrap(), None);
            })
            .await;
        assert_eq!(current(), None);
    }
}
