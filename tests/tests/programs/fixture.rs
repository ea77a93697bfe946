//! An edge and its leaves as programs, and the output of a program.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpStream;
use vitalmesh_tests::{Program, free_address};

pub(crate) const STOP_LIMIT: Duration = Duration::from_secs(15);

/// An edge and two leaves as programs.
pub(crate) struct Trio {
    pub(crate) edge: Program,
    pub(crate) revert_name: Program,
    pub(crate) time: Program,
    _data: tempfile::TempDir,
}

impl Trio {
    pub(crate) async fn start(flags: &[&str]) -> Self {
        let data = tempfile::tempdir().unwrap();
        let edge_address = free_address();
        let edge_url = format!("http://{edge_address}");
        let leaf = [&["--edge-url", &edge_url], flags].concat();
        let revert_name = Program::service("revert-name", &leaf);
        let time = Program::service("time", &leaf);
        let revert_name_url = format!("http://{}", revert_name.address("grpc").await);
        let time_url = format!("http://{}", time.address("grpc").await);
        let edge = [
            "--grpc-address",
            &edge_address.to_string(),
            "--data-dir",
            data.path().to_str().unwrap(),
            "--revert-name-url",
            &revert_name_url,
            "--time-url",
            &time_url,
        ];
        Self {
            edge: Program::service("edge", &[&edge, flags].concat()),
            revert_name,
            time,
            _data: data,
        }
    }
}

pub(crate) async fn connects(address: SocketAddr) -> bool {
    TcpStream::connect(address).await.is_ok()
}

pub(crate) fn lines_of(output: &[u8]) -> Vec<String> {
    let text = String::from_utf8(output.to_vec()).unwrap();
    text.lines().map(str::to_owned).collect()
}
