//! Counts the messages of one body, and times them where that is wanted.

use std::{sync::Arc, time::Instant};

use crate::{
    cells::{Cells, Histogram},
    code::Code,
    families::Side,
    frames::Scanner,
};

#[derive(Debug)]
pub(crate) struct Meter {
    cells: Arc<Cells>,
    scanner: Scanner,
    incoming: bool,
    clock: Clock,
}

/// Which body of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    Request,
    Response,
}

#[derive(Debug)]
enum Clock {
    Off,
    /// Since when the reader has been waiting for the next message.
    Receiving(Option<Instant>),
    /// Since when how many messages have been waiting for the transport.
    Sending(Option<(Instant, u32)>),
}

// === impl Meter ===

impl Meter {
    pub(crate) fn new(cells: Arc<Cells>, direction: Direction) -> Self {
        let server = cells.plan.config.side == Side::Server;
        let incoming = server == (direction == Direction::Request);
        let clock = match cells.plan.layout.receive_time {
            None => Clock::Off,
            Some(_) if incoming => Clock::Receiving(None),
            Some(_) => Clock::Sending(None),
        };
        Self {
            cells,
            scanner: Scanner::default(),
            incoming,
            clock,
        }
    }

    /// Somebody asks the body for more.
    pub(crate) fn asked(&mut self) {
        match &mut self.clock {
            Clock::Off => {}
            Clock::Receiving(since) => _ = since.get_or_insert_with(Instant::now),
            Clock::Sending(_) => self.accepted(),
        }
    }

    pub(crate) fn count(&mut self, data: &[u8]) {
        let mut messages = 0;
        let (cells, incoming) = (&self.cells, self.incoming);
        self.scanner.scan(data, |bytes| {
            messages += 1;
            if incoming {
                cells.received(bytes);
            } else {
                cells.sent(bytes);
            }
        });
        if messages == 0 {
            return;
        }
        match &mut self.clock {
            Clock::Off => {}
            Clock::Receiving(since) => {
                let waited = since.take().map_or(0, nanos_since);
                observe(cells, cells.plan.layout.receive_time.as_ref(), waited);
                // The others of the frame were there when they were asked for.
                for _ in 1..messages {
                    observe(cells, cells.plan.layout.receive_time.as_ref(), 0);
                }
            }
            Clock::Sending(waiting) => *waiting = Some((Instant::now(), messages)),
        }
    }

    /// The body of this call was cut off by its sender.
    pub(crate) fn reset(&self, call: u64) {
        if self.cells.plan.config.side == Side::Server {
            self.cells.plan.resets.note(call);
        }
    }

    /// The status of a grpc-web trailers frame.
    pub(crate) fn status(&self) -> Option<Code> {
        self.scanner.status()
    }

    fn accepted(&mut self) {
        if let Clock::Sending(waiting) = &mut self.clock
            && let Some((since, messages)) = waiting.take()
        {
            let waited = nanos_since(since);
            for _ in 0..messages {
                let histogram = self.cells.plan.layout.send_time.as_ref();
                observe(&self.cells, histogram, waited);
            }
        }
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        self.accepted();
    }
}

fn observe(cells: &Cells, histogram: Option<&Histogram>, nanos: u64) {
    if let Some(histogram) = histogram {
        cells.observe(histogram, 0, nanos);
    }
}

fn nanos_since(start: Instant) -> u64 {
    // A wait of 584 years would not fit.
    start.elapsed().as_nanos() as u64
}
