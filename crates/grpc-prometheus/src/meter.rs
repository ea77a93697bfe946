//! Counts the messages of one body, and times them where that is wanted.

use std::{
    mem,
    num::NonZeroU64,
    sync::LazyLock,
    time::{Duration, Instant},
};

use crate::{cells::Series, code::Code, families::Side, frames::Scanner, layout::Histogram};

/// The state of a count of request or of response messages; the numbers are those of the call.
///
/// It is moved soon after it is made, so it begins as zeros: to load together what was stored in
/// pieces a moment ago stalls the processor.
#[derive(Debug, Default)]
pub(crate) struct Meter<const REQUEST: bool> {
    scanner: Scanner,
    /// Messages that wait for the transport.
    waiting: u32,
    /// When the reader asked for the message to come, or when messages began to wait.
    since: Option<Tick>,
}

/// A moment, in nanoseconds from [`FIRST`] and one.
#[derive(Clone, Copy, Debug)]
struct Tick(NonZeroU64);

static FIRST: LazyLock<Instant> = LazyLock::new(Instant::now);

// === impl Meter ===

impl<const REQUEST: bool> Meter<REQUEST> {
    fn incoming(series: &Series) -> bool {
        (series.plan.config.side == Side::Server) == REQUEST
    }

    /// Whether waits are observed: of the reader for a message, of messages for the transport.
    fn timed(series: &Series) -> bool {
        series.plan.layout.receive_time.is_some()
    }

    /// Somebody asks the body for more.
    #[inline]
    pub(crate) fn asked(&mut self, series: &Series) {
        if Self::timed(series) {
            match Self::incoming(series) {
                true => _ = self.since.get_or_insert_with(Tick::now),
                false => self.accepted(series),
            }
        }
    }

    #[inline]
    pub(crate) fn count(&mut self, series: &Series, data: &[u8]) {
        let mut messages = 0;
        let incoming = Self::incoming(series);
        self.scanner.scan(data, |bytes| {
            messages += 1;
            if incoming {
                series.received(bytes);
            } else {
                series.sent(bytes);
            }
        });
        if messages > 0 && Self::timed(series) {
            self.time(series, messages);
        }
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
                self.since.take().map_or(0, Tick::elapsed),
            );
            // The others of the frame were there when they were asked for.
            (1..messages).for_each(|_| observe(series, histogram, 0));
        } else {
            self.waiting = messages;
            self.since = Some(Tick::now());
        }
    }

    /// The transport has taken what it was given, or the body has gone.
    pub(crate) fn accepted(&mut self, series: &Series) {
        let messages = mem::take(&mut self.waiting);
        if messages > 0
            && let Some(since) = self.since.take()
        {
            let histogram = series.plan.layout.send_time.as_ref();
            let waited = since.elapsed();
            (0..messages).for_each(|_| observe(series, histogram, waited));
        }
    }
}

fn observe(series: &Series, histogram: Option<&Histogram>, nanos: u64) {
    if let Some(histogram) = histogram {
        series.observe(histogram, 0, nanos);
    }
}

// === impl Tick ===

impl Tick {
    fn now() -> Self {
        Self(NonZeroU64::MIN.saturating_add(nanos(FIRST.elapsed())))
    }

    fn elapsed(self) -> u64 {
        nanos(FIRST.elapsed()).saturating_sub(self.0.get() - 1)
    }
}

fn nanos(duration: Duration) -> u64 {
    // 584 years would not fit.
    duration.as_nanos() as u64
}
