//! One RPC from its start to its end: ends once, whoever ends it, also by drop.

use std::{
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use http::HeaderMap;

use crate::{cells::Cells, code::Code, families::Side};

/// Made when a request arrives; moves from future to body; its drop is an ending too.
#[derive(Debug)]
pub(crate) struct Call {
    cells: Arc<Cells>,
    start: Instant,
    deadline: Option<Duration>,
    ended: bool,
}

// === impl Call ===

impl Call {
    pub(crate) fn start(cells: Arc<Cells>, headers: &HeaderMap) -> Self {
        cells.start();
        Self {
            cells,
            start: Instant::now(),
            deadline: grpc_timeout(headers),
            ended: false,
        }
    }

    pub(crate) const fn cells(&self) -> &Arc<Cells> {
        &self.cells
    }

    pub(crate) const fn is_ended(&self) -> bool {
        self.ended
    }

    pub(crate) fn end(&mut self, code: Code) {
        if self.ended {
            return;
        }
        self.ended = true;
        let elapsed = self.start.elapsed();
        let code = self.overrule(code, elapsed);
        self.cells
            .handled(code, elapsed.as_nanos().try_into().unwrap_or(u64::MAX));
    }

    /// tonic reports an expired deadline as `Cancelled`, and so may the peer.
    fn overrule(&self, code: Code, elapsed: Duration) -> Code {
        let late = self.deadline.is_some_and(|deadline| elapsed >= deadline);
        let client = self.cells.plan.config.side == Side::Client;
        if code == Code::CANCELED && late && client {
            return Code::DEADLINE_EXCEEDED;
        }
        code
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        if self.ended {
            return;
        }
        let late = |deadline| self.start.elapsed() >= deadline;
        let code = if thread::panicking() {
            Code::INTERNAL
        } else if self.deadline.is_some_and(late) {
            Code::DEADLINE_EXCEEDED
        } else {
            Code::CANCELED
        };
        self.end(code);
    }
}

/// At most eight digits and a unit; anything else is no deadline.
pub(crate) fn grpc_timeout(headers: &HeaderMap) -> Option<Duration> {
    parse_timeout(headers.get("grpc-timeout")?.as_bytes())
}

pub(crate) fn parse_timeout(value: &[u8]) -> Option<Duration> {
    let (unit, digits) = value.split_last()?;
    if digits.is_empty() || digits.len() > 8 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number = digits
        .iter()
        .fold(0, |number, digit| number * 10 + u64::from(digit - b'0'));
    match unit {
        b'H' => Some(Duration::from_secs(number * 3600)),
        b'M' => Some(Duration::from_secs(number * 60)),
        b'S' => Some(Duration::from_secs(number)),
        b'm' => Some(Duration::from_millis(number)),
        b'u' => Some(Duration::from_micros(number)),
        b'n' => Some(Duration::from_nanos(number)),
        _ => None,
    }
}
