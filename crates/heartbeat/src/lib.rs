#![doc = include_str!("../README.md")]
#![warn(missing_docs)]

mod reporter;
mod settings;
mod vital_signs;

pub use self::reporter::report;
pub use self::settings::HeartbeatSettings;
