//! Counts the messages of one body, and times them where that is wanted.

use std::{mem, time::Instant};

use crate::{cells::Series, code::Code, families::Side, frames::Scanner, layout::Histogram};

/// The state of a count; the numbers are those of the call. Small, since it moves with its body.
#[derive(Debug)]
pub(crate) struct Meter {
    scanner: Scanner,
    incoming: bool,
    /// Whether waits are observed: of the reader for a message, of messages for the transport.
    timed: bool,
    /// Messages that wait for the transport.
    waiting: u32,
    since: Option<Instant>,
}

/// Which body of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    Request,
    Response,
}

// === impl Meter ===

impl Meter {
    #[inline]
    pub(crate) fn new(series: &Series, direction: Direction) -> Self {
        let server = series.plan.config.side == Side::Server;
        Self {
            scanner: Scanner::default(),
            incoming: server == (direction == Direction::Request),
            timed: series.plan.layout.receive_time.is_some(),
            waiting: 0,
            since: None,
        }
    }

    /// Somebody asks the body for more.
    #[inline]
    pub(crate) fn asked(&mut self, series: &Series) {
        match (self.timed, self.incoming) {
            (false, _) => {}
            (true, true) => _ = self.since.get_or_insert_with(Instant::now),
            (true, false) => self.accepted(series),
        }
    }

    #[inline]
    pub(crate) fn count(&mut self, series: &Series, data: &[u8]) {
        let mut messages = 0;
        let incoming = self.incoming;
        self.scanner.scan(data, |bytes| {
            messages += 1;
            if incoming {
                series.received(bytes);
            } else {
                series.sent(bytes);
            }
        });
        if self.timed && messages > 0 {
            self.time(series, messages);
        }
    }

    /// The status of a grpc-web trailers frame.
    pub(crate) fn status(&self) -> Option<Code> {
        self.scanner.status()
    }

    fn time(&mut self, series: &Series, messages: u32) {
        if self.incoming {
            let histogram = series.plan.layout.receive_time.as_ref();
            observe(series, histogram, self.since.take().map_or(0, nanos_since));
            // The others of the frame were there when they were asked for.
            (1..messages).for_each(|_| observe(series, histogram, 0));
        } else {
            self.waiting = messages;
            self.since = Some(Instant::now());
        }
    }

    /// The transport has taken what it was given, or the body has gone.
    pub(crate) fn accepted(&mut self, series: &Series) {
        let messages = mem::take(&mut self.waiting);
        if messages > 0
            && let Some(since) = self.since.take()
        {
            let histogram = series.plan.layout.send_time.as_ref();
            let waited = nanos_since(since);
            (0..messages).for_each(|_| observe(series, histogram, waited));
        }
    }
}

fn observe(series: &Series, histogram: Option<&Histogram>, nanos: u64) {
    if let Some(histogram) = histogram {
        series.observe(histogram, 0, nanos);
    }
}

fn nanos_since(start: Instant) -> u64 {
    // A wait of 584 years would not fit.
    start.elapsed().as_nanos() as u64
}
