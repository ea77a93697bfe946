//! `mesh count`: asks for the next number until one is reached, and prints how long that took.

mod asker;

use std::ops::Range;
use std::time::Duration;

use clap::ValueEnum;
use futures_util::future::try_join_all;
use tokio::time::Instant;
use vitalmesh_chassis::{BoxError, Uri, service_url};

use self::asker::{Asker, Source};

/// The flags of `mesh count`.
#[derive(clap::Args, Debug)]
pub(crate) struct Count {
    /// The number to count to, from 0: as many calls
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(i32).range(1..))]
    to: i32,

    /// How the next number is asked for
    #[arg(long, value_enum)]
    via: Via,

    /// How many count at once, each a share of the numbers
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1000))]
    callers: u16,

    /// Where the counter serves gRPC
    #[arg(long, default_value = "http://127.0.0.1:50055", value_parser = service_url)]
    url: Uri,

    /// Where the counter serves REST
    #[arg(long, default_value = "http://127.0.0.1:8014", value_parser = service_url)]
    rest_url: Uri,
}

/// Every way to ask.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Via {
    /// A function of this process, without a server
    Function,
    /// GET requests, on one connection a caller
    Rest,
    /// Unary calls, on one connection for all
    Unary,
    /// One stream a caller, answered in order
    Stream,
    /// One stream for all callers, answered by id
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
            spelled(took.as_secs_f64()),
            spelled(took.as_secs_f64() / f64::from(self.to)),
        );
        Ok(())
    }

    /// How long it took, connecting not included.
    async fn count(&self) -> Result<Duration, BoxError> {
        let source = match self.via {
            Via::Function => Source::Function,
            Via::Rest => Source::Rest(self.rest_url.clone()),
            Via::Unary => Source::unary(self.url.clone()).await?,
            Via::Stream => Source::stream(self.url.clone()).await?,
            Via::Matched => Source::matched(self.url.clone(), self.callers).await?,
        };
        let askers = try_join_all((0..self.callers).map(|_| source.asker())).await?;
        let shares = askers.into_iter().zip(shares(self.to, self.callers));
        let begun = Instant::now();
        let counts = shares.map(|(asker, share)| tokio::spawn(count(asker, share)));
        for counted in try_join_all(counts).await? {
            counted?;
        }
        Ok(begun.elapsed())
    }
}

/// Asks with each answer for the next one.
async fn count(mut asker: Asker, share: Range<i32>) -> Result<(), BoxError> {
    let mut num = share.start;
    while num < share.end {
        let next = asker.next(num).await?;
        if next != num + 1 {
            return Err(format!("asked for the number after {num} and was told {next}").into());
        }
        num = next;
    }
    Ok(())
}

/// The numbers from 0 to `to` in as many parts as there are callers, alike but for one.
fn shares(to: i32, callers: u16) -> impl Iterator<Item = Range<i32>> {
    let (to, callers) = (i64::from(to), i64::from(callers));
    // At most `to`, so it fits.
    let bound = move |part: i64| i32::try_from(part * to / callers).unwrap_or(i32::MAX);
    (0..callers).map(move |part| bound(part)..bound(part + 1))
}

/// A time with three digits or more, in the unit that it is read best in.
fn spelled(seconds: f64) -> String {
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
    fn the_shares_are_all_numbers_once_and_alike_but_for_one() {
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
    fn a_time_is_spelled_in_its_unit() {
        for (seconds, expected) in [
            (12.345, "12.35 s"),
            (0.5, "500.0 ms"),
            (51.23e-6, "51.2 µs"),
            (0.4e-9, "0.4 ns"),
        ] {
            assert_eq!(spelled(seconds), expected);
        }
    }
}
