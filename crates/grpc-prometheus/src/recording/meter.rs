//! Counts the messages of one body and, if configured, measures their waits.

use std::{mem, time::Instant};

use super::{clock, code::Code, frames::Scanner};
use crate::series::{Histograms, Series, Side};

/// Counting state of a request or response body. The counters are in the series.
///
/// Plain words like [`Call`](super::call::Call), for the same reason: functions that are not
/// inlined take it by value.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Meter<const REQUEST: bool> {
    scanner: Scanner,
    /// Messages that the transport has not yet taken.
    unsent: u32,
    /// When the reader began to wait for a message, or the messages for the transport.
    since: Option<Instant>,
}

// === impl Meter ===

impl<const REQUEST: bool> Meter<REQUEST> {
    #[inline]
    fn incoming(series: &Series) -> bool {
        (series.side == Side::Server) == REQUEST
    }

    /// Called at each poll of the body.
    #[inline]
    pub(crate) fn on_poll(&mut self, series: &Series) {
        if series.timed {
            *self = self.time_poll(series);
        }
    }

    #[inline(always)]
    pub(crate) fn count(&mut self, series: &Series, data: &[u8], web: bool) {
        match self.scanner.single_message(data) {
            Some(bytes) if !series.timed => Self::count_message(series, bytes),
            _ => *self = self.scan(series, data, web),
        }
    }

    #[inline(always)]
    fn count_message(series: &Series, bytes: u32) {
        if Self::incoming(series) {
            series.received(bytes);
        } else {
            series.sent(bytes);
        }
    }

    #[inline(never)]
    fn time_poll(mut self, series: &Series) -> Self {
        match Self::incoming(series) {
            true => _ = self.since.get_or_insert_with(Instant::now),
            false => self = self.observe_send(series),
        }
        self
    }

    #[inline(never)]
    fn scan(mut self, series: &Series, data: &[u8], web: bool) -> Self {
        let mut messages = 0;
        self.scanner.scan(data, web, |bytes| {
            messages += 1;
            Self::count_message(series, bytes);
        });
        if messages > 0 && series.timed {
            self.time_messages(series, messages);
        }
        self
    }

    /// Whether a frame has an unknown flag, so that its receiver fails.
    #[inline]
    pub(crate) const fn is_invalid(&self) -> bool {
        self.scanner.is_invalid()
    }

    /// Whether a response with the messages so far can end with OK. If it cannot, its caller gets
    /// an error, whatever its status.
    #[inline]
    pub(crate) fn allows_ok(&self, series: &Series) -> bool {
        let messages = self.scanner.messages();
        match series.side {
            // As tonic sees it, which ignores further messages and a cut one.
            Side::Client => !series.single_response || messages > 0,
            // Callers of most stacks get an error.
            Side::Server => {
                self.scanner.is_complete() && (!series.single_response || messages == 1)
            }
        }
    }

    /// The status of a grpc-web trailers frame, if one has been read.
    pub(crate) fn status(&self) -> Option<Code> {
        self.scanner.status()
    }

    fn time_messages(&mut self, series: &Series, messages: u32) {
        if Self::incoming(series) {
            let histogram = series.schema.layout.receive_time.as_ref();
            observe(
                series,
                histogram,
                self.since.take().map_or(0, clock::nanos_since),
            );
            // Further messages of the frame did not keep the reader waiting.
            (1..messages).for_each(|_| observe(series, histogram, 0));
        } else {
            self.unsent = messages;
            self.since = Some(Instant::now());
        }
    }

    /// Called when the body is dropped: its messages wait no longer.
    #[inline]
    pub(crate) fn on_drop(&mut self, series: &Series) {
        if self.unsent > 0 {
            *self = self.observe_send(series);
        }
    }

    #[inline(never)]
    fn observe_send(mut self, series: &Series) -> Self {
        let messages = mem::take(&mut self.unsent);
        if messages > 0
            && let Some(since) = self.since.take()
        {
            let histogram = series.schema.layout.send_time.as_ref();
            let waited = clock::nanos_since(since);
            (0..messages).for_each(|_| observe(series, histogram, waited));
        }
        self
    }
}

fn observe(series: &Series, histogram: Option<&Histograms>, nanos: u64) {
    if let Some(histogram) = histogram {
        series.observe(histogram, nanos);
    }
}
