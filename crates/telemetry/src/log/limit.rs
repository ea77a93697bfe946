//! Bounds how many warnings and errors of one kind are logged, and reports how many were not.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::{FilterExt, Targets, filter_fn};
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

use vitalmesh_context::ServiceContext;

use super::fields::Fields;

/// Lines of one kind in one window.
const LINES: u32 = 10;
const WINDOW: Duration = Duration::from_secs(10);
/// Kinds that are told apart; further ones are one kind per line of the source.
const KINDS: usize = 512;
/// The target of the reports, which are not limited.
const TARGET: &str = "vitalmesh::log";
/// The fields that tell kinds apart, beside the line of the source.
const FIELDS: [&str; 6] = ["service", "method", "code", "task", "store", "location"];

/// Admits warnings and errors. Clones share the counts.
#[derive(Clone, Debug, Default)]
pub(super) struct LineLimit {
    kinds: Arc<Mutex<HashMap<Kind, Count>>>,
}

/// Lines that say the same.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Kind {
    /// Where the source logs it.
    source: (Option<&'static str>, Option<u32>),
    values: [Option<String>; FIELDS.len()],
}

#[derive(Debug)]
struct Count {
    since: Instant,
    admitted: u32,
    suppressed: u64,
    message: String,
}

// === impl LineLimit ===

impl LineLimit {
    /// The layer for a log of these levels. Its filter keeps the lines below WARN and of other
    /// levels as cheap as they are without it.
    pub(super) fn layer<S>(&self, levels: Targets) -> impl Layer<S> + use<S>
    where
        S: Subscriber + for<'a> LookupSpan<'a>,
    {
        let is_limited = filter_fn(|metadata| {
            metadata.is_event() && *metadata.level() <= Level::WARN && metadata.target() != TARGET
        });
        let is_limited = is_limited.with_max_level_hint(Level::WARN);
        self.clone().with_filter(levels.and(is_limited))
    }

    /// Reports suppressed lines once per window, on a thread of its own.
    pub(super) fn spawn_reports(&self) -> std::io::Result<()> {
        let limit = self.clone();
        let thread = std::thread::Builder::new().name("log-limit".to_owned());
        thread.spawn(move || {
            loop {
                std::thread::park_timeout(WINDOW);
                limit.report();
            }
        })?;
        Ok(())
    }

    /// Logs how many lines of each kind were suppressed since the last report.
    pub(super) fn report(&self) {
        for (kind, line, suppressed) in self.take(Instant::now()) {
            let [service, method, code, task, store, location] = &kind.values;
            tracing::warn!(
                target: TARGET,
                service = service.as_deref(),
                method = method.as_deref(),
                code = code.as_deref(),
                task = task.as_deref(),
                store = store.as_deref(),
                location = location.as_deref(),
                line,
                suppressed,
                "more lines like these were not logged",
            );
        }
    }

    fn admit(&self, now: Instant, mut kind: Kind, message: impl FnOnce() -> String) -> bool {
        let mut kinds = self.lock();
        if kinds.len() >= KINDS && !kinds.contains_key(&kind) {
            kind.values = FIELDS.map(|_| None);
        }
        let count = kinds.entry(kind).or_insert_with(|| Count {
            since: now,
            admitted: 0,
            suppressed: 0,
            message: message(),
        });
        if now.duration_since(count.since) >= WINDOW {
            (count.since, count.admitted) = (now, 0);
        }
        let fits = count.admitted < LINES;
        match fits {
            true => count.admitted += 1,
            false => count.suppressed += 1,
        }
        fits
    }

    /// The kinds with suppressed lines, their message and the number of lines. Forgets the kinds
    /// whose window is over.
    fn take(&self, now: Instant) -> Vec<(Kind, String, u64)> {
        let mut taken = Vec::new();
        self.lock().retain(|kind, count| {
            if count.suppressed > 0 {
                let suppressed = std::mem::take(&mut count.suppressed);
                taken.push((kind.clone(), count.message.clone(), suppressed));
            }
            now.duration_since(count.since) < WINDOW
        });
        taken
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Kind, Count>> {
        self.kinds.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S: Subscriber> Layer<S> for LineLimit {
    fn event_enabled(&self, event: &Event<'_>, _: Context<'_, S>) -> bool {
        let meta = event.metadata();
        let fields = Fields::of(event);
        let kind = Kind {
            source: (meta.file(), meta.line()),
            values: FIELDS.map(|name| {
                let current = ServiceContext::current().name();
                let current = current.filter(|_| name == "service");
                fields.text(name).or(current).map(str::to_owned)
            }),
        };
        let message = || {
            let message = fields.text("message");
            message.unwrap_or_else(|| meta.target()).to_owned()
        };
        self.admit(Instant::now(), kind, message)
    }
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::filter::LevelFilter;
    use tracing_subscriber::fmt;
    use tracing_subscriber::prelude::*;

    use super::super::format::tests::json_lines;
    use super::*;

    fn fail(method: &str, count: u32) {
        ServiceContext::new("edge").sync_scope(|| {
            for elapsed in 0..count {
                tracing::warn!(method, code = "Internal", elapsed, "call ended");
            }
        });
    }

    #[test]
    fn ten_lines_of_a_kind_are_logged_and_the_others_are_reported_once() {
        let limit = LineLimit::default();
        let lines = json_lines(Some((&limit, "info,quiet=off")), || {
            fail("/a", 10);
            fail("/b", 35);
            limit.report();
            limit.report();
        });
        let count = |method: &str| lines.iter().filter(|line| line["method"] == method).count();
        assert_eq!((count("/a"), count("/b")), (10, 11));
        let report = lines.last().unwrap();
        assert_eq!(report["message"], "more lines like these were not logged");
        assert_eq!(report["line"], "call ended");
        assert_eq!(report["suppressed"], 25);
        assert_eq!(report["service"], "edge");
        assert_eq!(report.get("task"), None);
    }

    #[test]
    fn lines_below_warn_and_of_disabled_targets_are_not_limited() {
        let limit = LineLimit::default();
        let lines = json_lines(Some((&limit, "info,quiet=off")), || {
            for _ in 0..30 {
                tracing::info!("progress");
                tracing::error!(target: "quiet::down", "unheard");
            }
        });
        let progress = lines.iter().filter(|line| line["message"] == "progress");
        assert_eq!(progress.count(), 30);
        assert_eq!(limit.take(Instant::now()), []);
    }

    #[test]
    fn the_limit_leaves_the_levels_of_the_log_as_they_are() {
        let levels: Targets = "info,quiet=off".parse().unwrap();
        let lines = fmt::layer().with_filter(levels.clone());
        let limit = LineLimit::default().layer(levels);
        let subscriber = tracing_subscriber::registry().with(limit).with(lines);
        assert_eq!(subscriber.max_level_hint(), Some(LevelFilter::INFO));
    }

    fn kind(method: usize) -> Kind {
        let mut values = FIELDS.map(|_| None);
        values[1] = Some(method.to_string());
        Kind {
            source: (Some("a.rs"), Some(1)),
            values,
        }
    }

    #[test]
    fn a_window_of_ten_seconds_admits_ten_more() {
        let (limit, start) = (LineLimit::default(), Instant::now());
        let admitted = |after: Duration| {
            let admit = |_: &u32| limit.admit(start + after, kind(1), String::new);
            (0..20).filter(admit).count()
        };
        assert_eq!(admitted(Duration::ZERO), 10);
        assert_eq!(admitted(WINDOW - Duration::from_nanos(1)), 0);
        assert_eq!(admitted(WINDOW), 10);
        let taken = limit.take(start + WINDOW);
        assert_eq!(taken, [(kind(1), String::new(), 40)]);
    }

    #[test]
    fn the_kind_after_the_512th_shares_one_count_until_others_are_forgotten() {
        let (limit, start) = (LineLimit::default(), Instant::now());
        let admitted = |from: usize, after: Duration| {
            let admit = |method: &usize| limit.admit(start + after, kind(*method), String::new);
            (from..from + 20).filter(admit).count()
        };
        for from in 0..KINDS {
            assert!(limit.admit(start, kind(from), String::new));
        }
        assert_eq!(admitted(KINDS, Duration::ZERO), 10);
        assert_eq!(limit.lock().len(), KINDS + 1);
        assert_eq!(limit.take(start + WINDOW).len(), 1);
        assert_eq!(admitted(KINDS, WINDOW), 20);
    }
}
