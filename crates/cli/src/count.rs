//! `mesh count`: calls the counter with each number that it responds, and prints the time.

mod caller;

use std::ops::Range;
use std::time::Duration;

use clap::ValueEnum;
use futures_util::future::try_join_all;
use tokio::time::Instant;
use vitalmesh_chassis::{BoxError, Uri, service_url};

use self::caller::{Caller, Target};

/// The flags of `mesh count`.
#[derive(clap::Args, Debug)]
pub(crate) struct Count {
    /// The number to count to from 0, one call per number
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(i32).range(1..))]
    to: i32,

    /// How the counter is called
    #[arg(long, value_enum)]
    via: Via,

    /// Concurrent callers; each counts a share of the numbers
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1000))]
    callers: u16,

    /// The URL of the counter's gRPC port
    #[arg(long, default_value = "http://127.0.0.1:50055", value_parser = service_url)]
    url: Uri,

    /// The URL of the counter's REST port
    #[arg(long, default_value = "http://127.0.0.1:8014", value_parser = service_url)]
    rest_url: Uri,
}

/// The ways to call the counter.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Via {
    /// A function in this process, without a server
    Function,
    /// GET requests, on a connection per caller
    Rest,
    /// Unary calls, on one shared connection
    Unary,
    /// A stream per caller, with responses in order
    Stream,
    /// One shared stream, with responses matched by id
    Matched,
}

// === impl Count ===

impl Count {
    pub(crate) fn run(self) -> Result<(), BoxError> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()?;
        let took = runtime.block_on(self.count())?;
        let callers = match self.callers {
            1 => "1 caller".to_owned(),
            callers => format!("{callers} callers"),
        };
        let via = self.via.to_possible_value();
        println!(
            "counted to {} via {}, {callers}: {}, {} a call",
            self.to,
            via.as_ref().map_or("", |via| via.get_name()),
            formatted(took.as_secs_f64()),
            formatted(took.as_secs_f64() / f64::from(self.to)),
        );
        Ok(())
    }

    /// Returns the time, without that of connecting.
    async fn count(&self) -> Result<Duration, BoxError> {
        let target = match self.via {
            Via::Function => Target::Function,
            Via::Rest => Target::Rest(self.rest_url.clone()),
            Via::Unary => Target::unary(self.url.clone()).await?,
            Via::Stream => Target::stream(self.url.clone()).await?,
            Via::Matched => Target::matched(self.url.clone(), self.callers).await?,
        };
        let callers = try_join_all((0..self.callers).map(|_| target.caller())).await?;
        let shares = callers.into_iter().zip(shares(self.to, self.callers));
        let started = Instant::now();
        let counts = shares.map(|(caller, share)| tokio::spawn(count(caller, share)));
        let counted = try_join_all(counts).await?;
        let took = started.elapsed();
        drop(target);
        for caller in counted {
            caller?.end().await?;
        }
        Ok(took)
    }
}

/// Calls the counter with each number of its share, and returns the caller.
async fn count(mut caller: Caller, share: Range<i32>) -> Result<Caller, BoxError> {
    let mut num = share.start;
    while num < share.end {
        let next = caller.next(num).await?;
        if next != num + 1 {
            return Err(format!("the counter responded {next} to {num}").into());
        }
        num = next;
    }
    Ok(caller)
}

/// Splits the numbers from 0 to `to` into a share per caller. Sizes differ by one at most.
fn shares(to: i32, callers: u16) -> impl Iterator<Item = Range<i32>> {
    let (to, callers) = (i64::from(to), i64::from(callers));
    // At most `to`, so it fits.
    let bound = move |part: i64| i32::try_from(part * to / callers).unwrap_or(i32::MAX);
    (0..callers).map(move |part| bound(part)..bound(part + 1))
}

/// Formats a time in the largest unit that leaves a whole number.
fn formatted(seconds: f64) -> String {
    match seconds {
        seconds if seconds >= 1.0 => format!("{seconds:.2} s"),
        seconds if seconds >= 1e-3 => format!("{:.1} ms", seconds * 1e3),
        seconds if seconds >= 1e-6 => format!("{:.1} µs", seconds * 1e6),
        seconds => format!("{:.1} ns", seconds * 1e9),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shares_have_every_number_once_and_differ_by_one_at_most() {
        for (to, callers) in [(1, 1), (10, 3), (2, 5), (i32::MAX, 1000)] {
            let shares: Vec<_> = shares(to, callers).collect();
            assert_eq!(shares.len(), usize::from(callers));
            assert_eq!((shares[0].start, shares[shares.len() - 1].end), (0, to));
            for pair in shares.windows(2) {
                assert_eq!(pair[0].end, pair[1].start);
            }
            let sizes = || shares.iter().map(|share| share.end - share.start);
            assert!(sizes().max().unwrap() - sizes().min().unwrap() <= 1);
        }
    }

    #[test]
    fn a_time_is_formatted_in_its_unit() {
        for (seconds, expected) in [
            (12.345, "12.35 s"),
            (0.5, "500.0 ms"),
            (51.23e-6, "51.2 µs"),
            (0.4e-9, "0.4 ns"),
        ] {
            assert_eq!(formatted(seconds), expected);
        }
    }
}
