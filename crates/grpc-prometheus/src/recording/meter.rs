//! Counts the messages of one body, and times them where that is wanted.

use std::{mem, time::Instant};

use super::{clock, code::Code, frames::Scanner};
use crate::series::{Histogram, Series, Side};

/// The state of a count of request or of response messages; the numbers are those of the call.
///
/// Plain words like a [`Call`](crate::call::Call), and for the same reason: what is not inlined takes
/// them by value.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Meter<const REQUEST: bool> {
    scanner: Scanner,
    /// Messages that wait for the transport.
    waiting: u32,
    /// When the reader asked for the message to come, or when messages began to wait.
    since: Option<Instant>,
}

// === impl Meter ===

impl<const REQUEST: bool> Meter<REQUEST> {
    #[inline]
    fn incoming(series: &Series) -> bool {
        (series.side == Side::Server) == REQUEST
    }

    /// Somebody asks the body for more.
    #[inline]
    pub(crate) fn asked(&mut self, series: &Series) {
        if series.timed {
            *self = self.ask(series);
        }
    }

    #[inline]
    pub(crate) fn count(&mut self, series: &Series, data: &[u8]) {
        match self.scanner.whole(data) {
            Some(bytes) if !series.timed => Self::add(series, bytes),
            _ => *self = self.count_all(series, data),
        }
    }

    #[inline]
    fn add(series: &Series, bytes: u32) {
        if Self::incoming(series) {
            series.received(bytes);
        } else {
            series.sent(bytes);
        }
    }

    #[inline(never)]
    fn ask(mut self, series: &Series) -> Self {
        match Self::incoming(series) {
            true => _ = self.since.get_or_insert_with(Instant::now),
            false => self = self.accept(series),
        }
        self
    }

    #[inline(never)]
    fn count_all(mut self, series: &Series, data: &[u8]) -> Self {
        let mut messages = 0;
        self.scanner.scan(data, |bytes| {
            messages += 1;
            Self::add(series, bytes);
        });
        if messages > 0 && series.timed {
            self.time(series, messages);
        }
        self
    }

    /// The status of a grpc-web trailers frame.
    pub(crate) fn status(&self) -> Option<Code> {
        self.scanner.status()
    }

    fn time(&mut self, series: &Series, messages: u32) {
        if Self::incoming(series) {
            let histogram = series.plan.layout.receive_time.as_ref();
            observe(
                series,
                histogram,
                self.since.take().map_or(0, clock::nanos_since),
            );
            // The others of the frame were there when they were asked for.
            (1..messages).for_each(|_| observe(series, histogram, 0));
        } else {
            self.waiting = messages;
            self.since = Some(Instant::now());
        }
    }

    /// The transport has taken what it was given, or the body has gone.
    #[inline]
    pub(crate) fn accepted(&mut self, series: &Series) {
        if self.waiting > 0 {
            *self = self.accept(series);
        }
    }

    #[inline(never)]
    fn accept(mut self, series: &Series) -> Self {
        let messages = mem::take(&mut self.waiting);
        if messages > 0
            && let Some(since) = self.since.take()
        {
            let histogram = series.plan.layout.send_time.as_ref();
            let waited = clock::nanos_since(since);
            (0..messages).for_each(|_| observe(series, histogram, waited));
        }
        self
    }
}

fn observe(series: &Series, histogram: Option<&Histogram>, nanos: u64) {
    if let Some(histogram) = histogram {
        series.observe(histogram, nanos);
    }
}
