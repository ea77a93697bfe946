//! A span for each run of a task.

use std::panic::{self, AssertUnwindSafe};
use std::thread;

use futures_util::FutureExt;
use tokio::time::Instant;

use tower::BoxError;
use vitalmesh_context::CallContext;
use vitalmesh_telemetry::{OpenSpan, SpanKind, Tracer};

use crate::task::Task;

/// The span of one run. A run that is dropped before its end is recorded as failed.
struct Run {
    context: CallContext,
    span: Option<Box<OpenSpan>>,
    ended: bool,
}

// === impl Task ===

impl Task {
    /// Records each run as the root span of a trace; calls that a run makes are child spans.
    ///
    /// Returns the task unchanged if the tracer records nothing.
    #[must_use]
    pub fn traced(self, tracer: &Tracer) -> Self {
        if !tracer.is_enabled() {
            return self;
        }
        let (tracer, work, name) = (tracer.clone(), self.work, self.name);
        let traced = move || {
            let mut run = Run::start(&tracer, name);
            let context = run.context;
            let work = context.sync_scope(&work);
            let traced = async move {
                let outcome = AssertUnwindSafe(work).catch_unwind().await;
                run.end(&outcome);
                outcome.unwrap_or_else(|panic| panic::resume_unwind(panic))
            };
            context.scope(traced).boxed()
        };
        Self {
            work: Box::new(traced),
            ..self
        }
    }
}

// === impl Run ===

impl Run {
    fn start(tracer: &Tracer, name: &'static str) -> Self {
        let mut context = CallContext::current().unwrap_or_else(|| CallContext::root(None));
        context.trace = tracer.sample(context.trace);
        let name = || format!("task {name}");
        Self {
            span: tracer.start_span(context.trace, SpanKind::Internal, name),
            context,
            ended: false,
        }
    }

    fn end(&mut self, outcome: &thread::Result<Result<(), BoxError>>) {
        self.ended = true;
        let Some(span) = &mut self.span else { return };
        match outcome {
            Ok(Ok(())) => {}
            Ok(Err(error)) => span.fail(&error.to_string()),
            Err(_) => span.fail("the task panicked"),
        }
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        let Some(span) = self.span.as_mut().filter(|_| !self.ended) else {
            return;
        };
        let late = |deadline: Instant| deadline <= Instant::now();
        span.fail(match self.context.deadline {
            Some(deadline) if late(deadline) => "the task timed out",
            _ => "the task was stopped",
        });
    }
}
