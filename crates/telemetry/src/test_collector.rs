//! An OTLP collector for tests, made of the types and servers of the official crate.

use http::Uri;
use opentelemetry_proto::tonic::collector::logs::v1::logs_service_server::{
    LogsService, LogsServiceServer,
};
use opentelemetry_proto::tonic::collector::logs::v1::{
    ExportLogsPartialSuccess, ExportLogsServiceRequest, ExportLogsServiceResponse,
};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use tokio::net::TcpListener;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinHandle;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status};

/// A collector on a free port, which reports a partial success of each request.
pub(crate) struct TestCollector {
    uri: Uri,
    logs: UnboundedReceiver<ExportLogsServiceRequest>,
    spans: UnboundedReceiver<ExportTraceServiceRequest>,
    server: JoinHandle<()>,
}

struct Handler {
    logs: UnboundedSender<ExportLogsServiceRequest>,
    spans: UnboundedSender<ExportTraceServiceRequest>,
    rejected: i64,
}

// === impl TestCollector ===

impl TestCollector {
    /// A collector that reports `rejected` items of each request.
    pub(crate) async fn start(rejected: i64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let uri = format!("http://{}", listener.local_addr().unwrap());
        let ((to_logs, logs), (to_spans, spans)) = (unbounded_channel(), unbounded_channel());
        let server = tokio::spawn(async move {
            let handler = || Handler {
                logs: to_logs.clone(),
                spans: to_spans.clone(),
                rejected,
            };
            let server = Server::builder()
                .add_service(LogsServiceServer::new(handler()))
                .add_service(TraceServiceServer::new(handler()));
            let incoming = TcpIncoming::from(listener);
            server.serve_with_incoming(incoming).await.unwrap();
        });
        Self {
            uri: uri.parse().unwrap(),
            logs,
            spans,
            server,
        }
    }

    pub(crate) const fn uri(&self) -> &Uri {
        &self.uri
    }

    /// The next request with log lines.
    pub(crate) async fn logs(&mut self) -> ExportLogsServiceRequest {
        self.logs.recv().await.unwrap()
    }

    /// The next request with spans.
    pub(crate) async fn spans(&mut self) -> ExportTraceServiceRequest {
        self.spans.recv().await.unwrap()
    }

    /// Stops the collector and returns the requests with log lines that no caller has taken.
    pub(crate) async fn stop(mut self) -> Vec<ExportLogsServiceRequest> {
        self.server.abort();
        let _ = self.server.await;
        std::iter::from_fn(|| self.logs.try_recv().ok()).collect()
    }
}

// === impl Handler ===

#[tonic::async_trait]
impl LogsService for Handler {
    async fn export(
        &self,
        request: Request<ExportLogsServiceRequest>,
    ) -> Result<Response<ExportLogsServiceResponse>, Status> {
        let _ = self.logs.send(request.into_inner());
        let partial = ExportLogsPartialSuccess {
            rejected_log_records: self.rejected,
            error_message: "too old".to_owned(),
        };
        Ok(Response::new(ExportLogsServiceResponse {
            partial_success: Some(partial),
        }))
    }
}

#[tonic::async_trait]
impl TraceService for Handler {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let _ = self.spans.send(request.into_inner());
        let partial = ExportTracePartialSuccess {
            rejected_spans: self.rejected,
            error_message: "too old".to_owned(),
        };
        Ok(Response::new(ExportTraceServiceResponse {
            partial_success: Some(partial),
        }))
    }
}
