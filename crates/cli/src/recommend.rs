//! `mesh recommend`: writes recommendations to a file as the bookstore streams them.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;

use indicatif::{ProgressBar, ProgressStyle};
use tokio::time::Instant;
use tonic::Streaming;
use vitalmesh_chassis::{BoxError, Uri, service_url};
use vitalmesh_proto::bookstore::v1::bookstore_service_client::BookstoreServiceClient;
use vitalmesh_proto::bookstore::v1::{RecommendBooksRequest, Recommendation};
use vitalmesh_transport::Transport;

/// Recommendations between two updates of the bar.
const STEP: u64 = 1024;
const BAR: &str = "{wide_bar} {human_pos} of {human_len}, {per_sec}, {eta} left";

/// The flags of `mesh recommend`.
#[derive(clap::Args, Debug)]
pub(crate) struct Recommend {
    /// The number of recommendations, 1 to 10000000
    #[arg(allow_negative_numbers = true, value_parser = clap::value_parser!(i32).range(1..=10_000_000))]
    n: i32,

    /// The file to write, with a line `id, title` for each
    #[arg(long, default_value = "recommend_books_from_server.txt")]
    to: PathBuf,

    /// The user to recommend to; the same user gets the same books
    #[arg(long, default_value_t = 0, allow_negative_numbers = true)]
    user_id: i32,

    /// The URL of the bookstore's gRPC port
    #[arg(long, default_value = "http://127.0.0.1:50054", value_parser = service_url)]
    url: Uri,
}

#[derive(Debug, thiserror::Error)]
enum RecommendError {
    #[error("no bookstore at {url}: {reason}; start one with `mesh up`, or set --url")]
    Unreachable { url: Uri, reason: String },
    #[error("the bookstore ended the stream after {written} of {n}: {reason}; {to} is incomplete")]
    Incomplete {
        written: u64,
        n: i32,
        reason: String,
        to: String,
    },
    #[error("cannot write {to}: {source}; {written} of {n} are written")]
    Write {
        to: String,
        written: u64,
        n: i32,
        source: io::Error,
    },
}

// === impl Recommend ===

impl Recommend {
    pub(crate) fn run(self) -> Result<(), BoxError> {
        // One thread: it does not read while it writes, and the server produces no more than is read.
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let started = Instant::now();
        runtime.block_on(async {
            let stream = self.stream().await?;
            self.save(stream).await
        })?;
        let (n, to) = (self.n, self.to.display());
        println!(
            "{n} recommendations in {to} after {:.2} s",
            started.elapsed().as_secs_f64()
        );
        Ok(())
    }

    async fn stream(&self) -> Result<Streaming<Recommendation>, BoxError> {
        let transport = Transport::new(self.url.clone());
        let connected = transport.connect().await;
        connected.map_err(|error| RecommendError::Unreachable {
            url: self.url.clone(),
            reason: root_cause(&error),
        })?;
        let request = RecommendBooksRequest {
            user_id: self.user_id,
            max_results: self.n,
        };
        let response = BookstoreServiceClient::new(transport)
            .recommend_books(request)
            .await;
        Ok(response
            .map_err(|status| self.incomplete(0, status.message()))?
            .into_inner())
    }

    async fn save(&self, mut stream: Streaming<Recommendation>) -> Result<(), BoxError> {
        let mut written = 0;
        let file = File::create(&self.to).map_err(|error| self.unwritable(written, error))?;
        let mut file = BufWriter::with_capacity(64 << 10, file);
        let style = ProgressStyle::with_template(BAR)?;
        let bar = ProgressBar::new(self.n.unsigned_abs().into()).with_style(style);
        loop {
            match stream.message().await {
                Ok(Some(Recommendation { id, title })) => {
                    let line = writeln!(file, "{id}, {title}");
                    line.map_err(|error| self.unwritable(written, error))?;
                }
                Ok(None) => break,
                Err(status) => {
                    file.flush()
                        .map_err(|error| self.unwritable(written, error))?;
                    return Err(self.incomplete(written, status.message()).into());
                }
            }
            written += 1;
            if written % STEP == 0 {
                bar.set_position(written);
            }
        }
        file.flush()
            .map_err(|error| self.unwritable(written, error))?;
        bar.finish_and_clear();
        match written == u64::from(self.n.unsigned_abs()) {
            true => Ok(()),
            false => Err(self.incomplete(written, "it sent no more").into()),
        }
    }

    fn incomplete(&self, written: u64, reason: &str) -> RecommendError {
        RecommendError::Incomplete {
            written,
            n: self.n,
            reason: reason.to_owned(),
            to: self.to.display().to_string(),
        }
    }

    fn unwritable(&self, written: u64, source: io::Error) -> RecommendError {
        RecommendError::Write {
            to: self.to.display().to_string(),
            written,
            n: self.n,
            source,
        }
    }
}

fn root_cause(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}
