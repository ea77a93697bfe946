//! Walks through the steps: says what to look at, and waits until Prometheus says the same.

use std::fmt;
use std::io::{IsTerminal, Write, stdout};
use std::ops::RangeInclusive;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};
use vitalmesh_chassis::BoxError;

use super::api::Api;
use super::load::Plan;

const EVERY: Duration = Duration::from_secs(1);
const STARTS_WITHIN: Duration = Duration::from_secs(30);

/// A change of the load, and what follows from it.
#[derive(Debug)]
pub(super) struct Step {
    pub(super) title: &'static str,
    pub(super) plan: Plan,
    /// Dashboard and panel.
    pub(super) look: &'static [(&'static str, &'static str)],
    /// One after the other.
    pub(super) checks: &'static [Check],
    /// How long all of them may take.
    pub(super) within: Duration,
}

/// What an expression has to become.
#[derive(Debug)]
pub(super) struct Check {
    pub(super) expression: &'static str,
    pub(super) expected: RangeInclusive<f64>,
    /// What the value is, to be read after it.
    pub(super) meaning: &'static str,
    pub(super) unit: Unit,
}

/// How a value is spelled.
#[derive(Clone, Copy, Debug)]
pub(super) enum Unit {
    Number,
    Share,
    /// 1 for what is so: its meaning says enough.
    State,
}

/// A value in its unit, or none.
struct Spelled(Option<f64>, Unit);

/// Why a step did not come.
#[derive(Debug, thiserror::Error)]
enum TourError {
    #[error("prometheus did not answer within {STARTS_WITHIN:?}")]
    Start,
    #[error(
        "step {step} did not come within {within:?}: `{expression}` is {last}, not {expected}; \
         alerts that fire: {firing:?}"
    )]
    Missing {
        step: usize,
        within: Duration,
        expression: &'static str,
        last: String,
        expected: String,
        firing: Vec<String>,
    },
}

/// A tour under way.
#[derive(Debug)]
pub(super) struct Tour {
    api: Api,
    plan: watch::Sender<Plan>,
}

// === impl Tour ===

impl Tour {
    pub(super) const fn new(api: Api, plan: watch::Sender<Plan>) -> Self {
        Self { api, plan }
    }

    /// Waits until Prometheus can be asked.
    pub(super) async fn ready(&self) -> Result<(), BoxError> {
        let started = async {
            while !self.api.is_ready().await {
                sleep(EVERY).await;
            }
        };
        let started = timeout(STARTS_WITHIN, started).await;
        started.map_err(|_| TourError::Start.into())
    }

    pub(super) async fn run(&mut self, steps: &[Step]) -> Result<(), BoxError> {
        for (number, step) in steps.iter().enumerate() {
            println!("\n{}/{} {}", number + 1, steps.len(), step.title);
            let panels = step.look.iter();
            let panels: Vec<_> = panels
                .map(|(board, panel)| format!("{board} > {panel}"))
                .collect();
            println!("    see {}", panels.join("; "));
            self.plan.send_replace(step.plan);
            let began = Instant::now();
            for check in step.checks {
                self.wait(number + 1, step, check, began).await?;
            }
        }
        Ok(())
    }

    async fn wait(
        &self,
        number: usize,
        step: &Step,
        check: &Check,
        began: Instant,
    ) -> Result<(), BoxError> {
        println!("    {}", check.expression);
        loop {
            let value = self.api.value(check.expression).await;
            let spelled = Spelled(value.as_ref().ok().copied().flatten(), check.unit);
            let passed = began.elapsed();
            if spelled
                .0
                .is_some_and(|value| check.expected.contains(&value))
            {
                say(&format!(
                    "ok: {} ({} s)\n",
                    check.said(&spelled),
                    passed.as_secs()
                ))?;
                return Ok(());
            }
            if passed > step.within {
                let firing = self.api.firing().await.unwrap_or_default();
                return Err(Box::new(TourError::Missing {
                    step: number,
                    within: step.within,
                    expression: check.expression,
                    last: value.map_or_else(|error| error.to_string(), |_| spelled.to_string()),
                    expected: check.to_string(),
                    firing,
                }));
            }
            if stdout().is_terminal() {
                say(&format!("... {spelled} ({} s)", passed.as_secs()))?;
            }
            sleep(EVERY).await;
        }
    }
}

/// Prints over what a terminal's last line holds.
fn say(text: &str) -> std::io::Result<()> {
    let mut out = stdout().lock();
    if out.is_terminal() {
        out.write_all(b"\r\x1b[K")?;
    }
    write!(out, "    {text}")?;
    out.flush()
}

// === impl Check ===

impl Check {
    fn said(&self, value: &Spelled) -> String {
        match self.unit {
            Unit::State => self.meaning.to_owned(),
            _ => format!("{value} {}", self.meaning),
        }
    }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (least, most) = (*self.expected.start(), *self.expected.end());
        let [least, most] = [least, most].map(|bound| Spelled(Some(bound), self.unit));
        match (self.expected.start(), self.expected.end()) {
            (start, end) if start == end => write!(f, "{least}"),
            (_, &f64::INFINITY) => write!(f, "{least} or more"),
            _ => write!(f, "{least} to {most}"),
        }
    }
}

// === impl Spelled ===

impl fmt::Display for Spelled {
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

    const LIGHT: Plan = Plan {
        calls_per_second: 5,
        faults_in_ten: 0,
    };

    /// A Prometheus for which each expression has this one series.
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
                let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{body}");
                let _ = stream.read(&mut [0; 4096]).await;
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        });
        address
    }

    /// Tours one step with this check; the plan afterwards, and how it ended.
    async fn tour(value: &'static str, expected: RangeInclusive<f64>) -> (Plan, String) {
        let check = Check {
            expression: "min(up)",
            expected,
            meaning: "every service is up",
            unit: Unit::State,
        };
        let step = Step {
            title: "Light load",
            plan: LIGHT,
            look: &[],
            checks: Box::leak(Box::new([check])),
            within: Duration::ZERO,
        };
        let (plan, planned) = watch::channel(Plan::NOTHING);
        let mut tour = Tour::new(Api::new(prometheus(value).await), plan);
        tour.ready().await.unwrap();
        let ended = tour.run(&[step]).await;
        let ended = ended.map_or_else(|error| error.to_string(), |()| "green".to_owned());
        (*planned.borrow(), ended)
    }

    #[tokio::test]
    async fn a_step_sets_the_load_and_ends_when_its_checks_hold() {
        assert_eq!(tour("1", 1.0..=1.0).await, (LIGHT, "green".to_owned()));
    }

    #[tokio::test]
    async fn a_step_that_does_not_come_says_what_was_seen_and_what_fires() {
        let (_, ended) = tour("0", 1.0..=1.0).await;
        assert_eq!(
            ended,
            "step 1 did not come within 0ns: `min(up)` is 0, not 1; \
             alerts that fire: [\"MeshTargetDown\"]"
        );
    }

    #[test]
    fn bounds_and_values_are_spelled_in_their_unit() {
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
        assert_eq!(Spelled(Some(4.94), Unit::Number).to_string(), "4.9");
        assert_eq!(Spelled(None, Unit::State).to_string(), "nothing");
    }
}
