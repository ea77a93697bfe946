//! A span for each run of a task.

use futures_util::FutureExt;
use tokio::time::Instant;

use super::{Kind, OpenSpan, Tracer};
use crate::context::CallContext;
use crate::stack::BoxError;
use crate::tasks::Task;

/// The span of a run; a run that is dropped has failed too.
struct Run {
    context: CallContext,
    span: Option<Box<OpenSpan>>,
    ended: bool,
}

// === impl Tracer ===

impl Tracer {
    /// The task with a trace for each of its runs, whose calls are parts of it.
    pub(crate) fn task(&self, task: Task) -> Task {
        if self.recorder.is_none() {
            return task;
        }
        let (tracer, work, name) = (self.clone(), task.work, task.name);
        let traced = move || {
            let mut run = Run::begin(&tracer, name);
            let context = run.context;
            let work = context.sync_scope(&work);
            let traced = async move {
                let ended = work.await;
                run.end(&ended);
                ended
            };
            context.scope(traced).boxed()
        };
        Task {
            work: Box::new(traced),
            ..task
        }
    }
}

// === impl Run ===

impl Run {
    fn begin(tracer: &Tracer, name: &'static str) -> Self {
        let mut context = CallContext::current().unwrap_or_else(|| CallContext::root(None));
        context.trace = tracer.sample(context.trace);
        let name = || format!("task {name}");
        Self {
            span: tracer.begin(context.trace, Kind::Internal, name),
            context,
            ended: false,
        }
    }

    fn end(&mut self, ended: &Result<(), BoxError>) {
        self.ended = true;
        if let (Some(span), Err(error)) = (&mut self.span, ended) {
            span.fail(&error.to_string());
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
            _ if std::thread::panicking() => "the task panicked",
            Some(deadline) if late(deadline) => "the task took too long",
            _ => "the task was stopped",
        });
    }
}
