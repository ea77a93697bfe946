//! Counts the messages of one body, and times them where that is wanted.

use std::time::Instant;

use crate::{
    cells::{Cells, Histogram},
    code::Code,
    families::Side,
    frames::Scanner,
};

/// The state of a count; the numbers are those of the call.
#[derive(Debug)]
pub(crate) struct Meter {
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
    pub(crate) fn new(cells: &Cells, direction: Direction) -> Self {
        let server = cells.plan.config.side == Side::Server;
        let incoming = server == (direction == Direction::Request);
        let clock = match cells.plan.layout.receive_time {
            None => Clock::Off,
            Some(_) if incoming => Clock::Receiving(None),
            Some(_) => Clock::Sending(None),
        };
        Self {
            scanner: Scanner::default(),
            incoming,
            clock,
        }
    }

    /// Somebody asks the body for more.
    pub(crate) fn asked(&mut self, cells: &Cells) {
        match &mut self.clock {
            Clock::Off => {}
            Clock::Receiving(since) => _ = since.get_or_insert_with(Instant::now),
            Clock::Sending(_) => self.accepted(cells),
        }
    }

    pub(crate) fn count(&mut self, cells: &Cells, data: &[u8]) {
        let mut messages = 0;
        let incoming = self.incoming;
        self.scanner.scan(data, |bytes| {
            messages += 1;
            if incoming {
                cells.received(bytes);
            } else {
                cells.sent(bytes);
            }
        });
        if messages > 0 {
            self.time(cells, messages);
        }
    }

    /// The status of a grpc-web trailers frame.
    pub(crate) fn status(&self) -> Option<Code> {
        self.scanner.status()
    }

    fn time(&mut self, cells: &Cells, messages: u32) {
        match &mut self.clock {
            Clock::Off => {}
            Clock::Receiving(since) => {
                let histogram = cells.plan.layout.receive_time.as_ref();
                observe(cells, histogram, since.take().map_or(0, nanos_since));
                // The others of the frame were there when they were asked for.
                (1..messages).for_each(|_| observe(cells, histogram, 0));
            }
            Clock::Sending(waiting) => *waiting = Some((Instant::now(), messages)),
        }
    }

    /// The transport has taken what it was given, or the body has gone.
    pub(crate) fn accepted(&mut self, cells: &Cells) {
        if let Clock::Sending(waiting) = &mut self.clock
            && let Some((since, messages)) = waiting.take()
        {
            let histogram = cells.plan.layout.send_time.as_ref();
            let waited = nanos_since(since);
            (0..messages).for_each(|_| observe(cells, histogram, waited));
        }
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
