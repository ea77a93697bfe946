#![doc = include_str!("../README.md")]
#![warn(missing_docs)]

mod cron;
mod metrics;
mod runner;
mod schedule;
mod task;
mod tasks;
mod traced;

pub use self::schedule::{Schedule, ScheduleError};
pub use self::task::Task;
pub use self::tasks::Tasks;
