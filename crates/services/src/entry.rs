//! An entry of the list: a service without its type.

use std::ffi::OsString;
use std::fmt;

use clap::Command;
use vitalmesh_chassis::{Service, StartError, parse};

use crate::BoundService;

/// One service of the mesh, made from its configuration type alone.
#[derive(Clone, Copy)]
pub struct Entry {
    name: &'static str,
    command: fn() -> Command,
    bind: fn(Vec<OsString>) -> Result<BoundService, StartError>,
}

// === impl Entry ===

impl Entry {
    /// The service with this configuration.
    pub const fn of<S: Service>() -> Self {
        Self {
            name: S::NAME,
            command: vitalmesh_chassis::command::<S>,
            bind: bind::<S>,
        }
    }

    /// The service's name: of its program, its Prometheus job and its heartbeats.
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// The service's command line, with the flag, variable and default of every setting.
    pub fn command(&self) -> Command {
        (self.command)()
    }

    /// Binds the service's ports, with its settings from `flags` and the environment.
    ///
    /// # Errors
    ///
    /// [`StartError::Setting`] where a flag or a variable is invalid, [`StartError::Bind`] where a
    /// port is taken.
    pub fn bind(
        &self,
        flags: impl IntoIterator<Item = impl Into<OsString>>,
    ) -> Result<BoundService, StartError> {
        let flags = flags.into_iter().map(Into::into);
        (self.bind)([self.name.into()].into_iter().chain(flags).collect())
    }
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Entry").field(&self.name).finish()
    }
}

/// The first of `words` is the program's name.
fn bind<S: Service>(words: Vec<OsString>) -> Result<BoundService, StartError> {
    let config: S = parse(words).map_err(|error| StartError::setting(S::NAME, &error))?;
    vitalmesh_chassis::bind(config).map(BoundService::new)
}

#[cfg(test)]
mod tests {
    use crate::SERVICES;

    const FREE: &str = "127.0.0.1:0";

    fn time(flags: &[&str]) -> Result<crate::BoundService, vitalmesh_chassis::StartError> {
        let entry = SERVICES.iter().find(|entry| entry.name() == "time");
        let free = ["--grpc-address", FREE, "--scrape-address", FREE];
        entry.unwrap().bind([&free, flags].concat())
    }

    #[tokio::test]
    async fn an_entry_binds_and_starts_its_service() {
        let flags = ["--heartbeat-cron", "off", "--lame-duck", "0s"];
        let bound = time(&flags).unwrap();
        assert_eq!(bound.name(), "time");
        assert!(bound.settings().lame_duck.is_zero());
        let addresses = bound.addresses();
        assert_ne!(addresses.grpc.port(), 0);
        let running = bound.start().await.unwrap();
        assert_eq!((running.name(), running.addresses()), ("time", addresses));
        running.stop().await;
    }

    #[test]
    fn an_invalid_setting_is_an_error_that_names_service_and_variable() {
        let error = time(&["--heartbeat-cron", "often"]).unwrap_err();
        let text = error.to_string();
        assert!(
            text.starts_with("time: invalid value 'often' for the variable HEARTBEAT_CRON: "),
            "{text}"
        );
    }
}
