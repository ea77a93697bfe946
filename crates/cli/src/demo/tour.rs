//! Runs the steps: sets the load, names the panels to watch, and waits until the checks pass.

use std::fmt;
use std::io::{IsTerminal, Write, stdout};
use std::ops::RangeInclusive;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};
use vitalmesh_chassis::BoxError;

use super::api::Api;
use super::load::LoadProfile;

const POLL_INTERVAL: Duration = Duration::from_secs(1);
const START_TIMEOUT: Duration = Duration::from_secs(30);

/// A load, and the checks that it makes pass.
#[derive(Debug)]
pub(super) struct Step {
    pub(super) title: &'static str,
    pub(super) profile: LoadProfile,
    /// The panels that show it: dashboard and title.
    pub(super) panels: &'static [(&'static str, &'static str)],
    /// Run in sequence.
    pub(super) checks: &'static [Check],
    /// Timeout of all checks.
    pub(super) within: Duration,
}

/// A condition on the value of an expression.
#[derive(Debug)]
pub(super) struct Check {
    pub(super) expression: &'static str,
    pub(super) expected: RangeInclusive<f64>,
    /// What the value means; printed after it.
    pub(super) meaning: &'static str,
    pub(super) unit: Unit,
}

/// How a value is printed.
#[derive(Clone, Copy, Debug)]
pub(super) enum Unit {
    Number,
    Share,
    /// 1 where a condition holds. Only the meaning is printed.
    State,
}

/// A value in its unit, or none.
struct Reading(Option<f64>, Unit);

/// Why the tour failed.
#[derive(Debug, thiserror::Error)]
enum TourError {
    #[error("prometheus did not respond within {START_TIMEOUT:?}")]
    Start,
    #[error(
        "step {step} was not reached within {within:?}: `{expression}` is {last}, not {expected}; \
         firing alerts: {firing:?}"
    )]
    NotReached {
        step: usize,
        within: Duration,
        expression: &'static str,
        last: String,
        expected: String,
        firing: Vec<String>,
    },
}

/// A tour of the mesh behind a Prometheus.
#[derive(Debug)]
pub(super) struct Tour {
    api: Api,
    profile: watch::Sender<LoadProfile>,
}

// === impl Tour ===

impl Tour {
    pub(super) const fn new(api: Api, profile: watch::Sender<LoadProfile>) -> Self {
        Self { api, profile }
    }

    /// Waits until Prometheus responds.
    pub(super) async fn ready(&self) -> Result<(), BoxError> {
        let ready = async {
            while !self.api.is_ready().await {
                sleep(POLL_INTERVAL).await;
            }
        };
        let ready = timeout(START_TIMEOUT, ready).await;
        ready.map_err(|_| TourError::Start.into())
    }

    pub(super) async fn run(&mut self, steps: &[Step]) -> Result<(), BoxError> {
        for (number, step) in steps.iter().enumerate() {
            println!("\n{}/{} {}", number + 1, steps.len(), step.title);
            let panels = step.panels.iter();
            let panels: Vec<_> = panels
                .map(|(board, panel)| format!("{board} > {panel}"))
                .collect();
            println!("    see {}", panels.join("; "));
            self.profile.send_replace(step.profile);
            let started = Instant::now();
            for check in step.checks {
                self.wait(number + 1, step, check, started).await?;
            }
        }
        Ok(())
    }

    async fn wait(
        &self,
        number: usize,
        step: &Step,
        check: &Check,
        started: Instant,
    ) -> Result<(), BoxError> {
        println!("    {}", check.expression);
        loop {
            let value = self.api.value(check.expression).await;
            let reading = Reading(value.as_ref().ok().copied().flatten(), check.unit);
            let passed = started.elapsed();
            if reading
                .0
                .is_some_and(|value| check.expected.contains(&value))
            {
                print_status(&format!(
                    "ok: {} ({} s)\n",
                    check.describe(&reading),
                    passed.as_secs()
                ))?;
                return Ok(());
            }
            if passed > step.within {
                let firing = self.api.firing().await.unwrap_or_default();
                return Err(Box::new(TourError::NotReached {
                    step: number,
                    within: step.within,
                    expression: check.expression,
                    last: value.map_or_else(|error| error.to_string(), |_| reading.to_string()),
                    expected: check.to_string(),
                    firing,
                }));
            }
            if stdout().is_terminal() {
                print_status(&format!("... {reading} ({} s)", passed.as_secs()))?;
            }
            sleep(POLL_INTERVAL).await;
        }
    }
}

/// Prints over the last line of a terminal.
fn print_status(text: &str) -> std::io::Result<()> {
    let mut out = stdout().lock();
    if out.is_terminal() {
        out.write_all(b"\r\x1b[K")?;
    }
    write!(out, "    {text}")?;
    out.flush()
}

// === impl Check ===

impl Check {
    fn describe(&self, value: &Reading) -> String {
        match self.unit {
            Unit::State => self.meaning.to_owned(),
            _ => format!("{value} {}", self.meaning),
        }
    }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (min, max) = (*self.expected.start(), *self.expected.end());
        let [min, max] = [min, max].map(|bound| Reading(Some(bound), self.unit));
        match (self.expected.start(), self.expected.end()) {
            (start, end) if start == end => write!(f, "{min}"),
            (_, &f64::INFINITY) => write!(f, "{min} or more"),
            _ => write!(f, "{min} to {max}"),
        }
    }
}

// === impl Reading ===

impl fmt::Display for Reading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.0, self.1) {
            (None, _) => f.write_str("nothing"),
            (Some(value), Unit::Share) => write!(f, "{:.0} %", value * 100.0),
            (Some(value), _) if value.fract() == 0.0 => write!(f, "{value}"),
            (Some(value), _) => write!(f, "{value:.1}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    const LIGHT: LoadProfile = LoadProfile {
        calls_per_second: 5,
        faults_in_ten: 0,
    };

    /// A Prometheus that responds with this one series to each query.
    async fn prometheus(value: &'static str) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let series = format!(
                    r#"{{"metric":{{"alertname":"MeshTargetDown"}},"value":[0,"{value}"]}}"#
                );
                let body = format!(r#"{{"data":{{"result":[{series}]}}}}"#);
                let length = body.len();
                let response = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{body}");
                let _ = stream.read(&mut [0; 4096]).await;
                stream.write_all(response.as_bytes()).await.unwrap();
            }
        });
        address
    }

    /// Runs one step with this check. Returns the load after it and the outcome.
    async fn tour(value: &'static str, expected: RangeInclusive<f64>) -> (LoadProfile, String) {
        let check = Check {
            expression: "min(up)",
            expected,
            meaning: "every service is up",
            unit: Unit::State,
        };
        let step = Step {
            title: "Light load",
            profile: LIGHT,
            panels: &[],
            checks: Box::leak(Box::new([check])),
            within: Duration::ZERO,
        };
        let (profile, current) = watch::channel(LoadProfile::IDLE);
        let mut tour = Tour::new(Api::new(prometheus(value).await), profile);
        tour.ready().await.unwrap();
        let ended = tour.run(&[step]).await;
        let ended = ended.map_or_else(|error| error.to_string(), |()| "green".to_owned());
        (*current.borrow(), ended)
    }

    #[tokio::test]
    async fn a_step_sets_the_load_and_ends_when_its_checks_hold() {
        assert_eq!(tour("1", 1.0..=1.0).await, (LIGHT, "green".to_owned()));
    }

    #[tokio::test]
    async fn a_step_that_is_not_reached_is_an_error_with_the_value_and_the_firing_alerts() {
        let (_, ended) = tour("0", 1.0..=1.0).await;
        assert_eq!(
            ended,
            "step 1 was not reached within 0ns: `min(up)` is 0, not 1; \
             firing alerts: [\"MeshTargetDown\"]"
        );
    }

    #[test]
    fn bounds_and_values_are_printed_in_their_unit() {
        let bounds = |expected, unit| {
            let check = Check {
                expression: "",
                expected,
                meaning: "",
                unit,
            };
            check.to_string()
        };
        assert_eq!(bounds(0.2..=0.4, Unit::Share), "20 % to 40 %");
        assert_eq!(bounds(0.1..=f64::INFINITY, Unit::Number), "0.1 or more");
        assert_eq!(Reading(Some(4.94), Unit::Number).to_string(), "4.9");
        assert_eq!(Reading(None, Unit::State).to_string(), "nothing");
    }
}
