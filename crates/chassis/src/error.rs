//! Why a service does not start.

use std::fmt;
use std::net::SocketAddr;

pub use tower::BoxError;

use crate::command_line_error::one_line_of_variables;

/// Why a service does not start. Nothing of it keeps running.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A port cannot be bound.
    #[error("{service}: cannot listen on {address}: {source}; {advice}")]
    Bind {
        /// The service's name.
        service: &'static str,
        /// The requested address.
        address: SocketAddr,
        /// What to do: which flag or variable to set.
        advice: &'static str,
        /// The system's error.
        source: std::io::Error,
    },
    /// A setting has an invalid value.
    #[error("{service}: {reason}")]
    Setting {
        /// The service's name.
        service: &'static str,
        /// The setting, what is wrong, and what is expected.
        reason: String,
    },
    /// A part of the service cannot be created.
    #[error("{service}: {source}")]
    Build {
        /// The service's name.
        service: &'static str,
        /// The reason.
        source: BoxError,
    },
}

/// A setting whose value turns out to be invalid while the service is built, such as a data folder
/// that cannot be opened.
#[derive(Debug)]
pub struct InvalidSetting {
    setting: &'static str,
    source: BoxError,
}

// === impl StartError ===

impl StartError {
    /// Replaces what to do about a port that cannot be bound, for a command with other flags than a
    /// service's program.
    #[must_use]
    pub fn advise(mut self, text: &'static str) -> Self {
        if let Self::Bind { advice, .. } = &mut self {
            *advice = text;
        }
        self
    }

    /// An error of a service's settings in a command that runs several services: it has no flags for
    /// them, only variables.
    pub fn setting(service: &'static str, error: &clap::Error) -> Self {
        Self::Setting {
            service,
            reason: one_line_of_variables(error),
        }
    }

    pub(crate) fn build(service: &'static str, source: BoxError) -> Self {
        match source.downcast::<InvalidSetting>() {
            Ok(invalid) => Self::Setting {
                service,
                reason: invalid.to_string(),
            },
            Err(source) => Self::Build { service, source },
        }
    }

    /// Whether the caller can correct it with other settings.
    pub(crate) const fn is_usage(&self) -> bool {
        matches!(self, Self::Bind { .. } | Self::Setting { .. })
    }
}

// === impl InvalidSetting ===

impl InvalidSetting {
    /// `setting` names flag and variable: `--data-dir (DATA_DIR)`.
    pub fn new(setting: &'static str, source: impl Into<BoxError>) -> Self {
        let source = source.into();
        Self { setting, source }
    }
}

impl fmt::Display for InvalidSetting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.setting, self.source)
    }
}

impl std::error::Error for InvalidSetting {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.source()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_invalid_setting_is_a_usage_error_and_a_failed_build_is_not() {
        let invalid = InvalidSetting::new("--data-dir (DATA_DIR)", "not a folder");
        let error = StartError::build("edge", invalid.into());
        assert_eq!(
            error.to_string(),
            "edge: --data-dir (DATA_DIR): not a folder"
        );
        assert!(error.is_usage());
        let error = StartError::build("edge", "out of threads".into());
        assert_eq!(error.to_string(), "edge: out of threads");
        assert!(!error.is_usage());
    }
}
