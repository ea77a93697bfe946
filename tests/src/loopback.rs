//! Addresses that are this test's alone, also before anything listens there.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::sync::atomic::{AtomicU8, Ordering};

/// A loopback address that no other test uses: the ports on it are all free, fixed ones included.
pub fn own_ip() -> IpAddr {
    static NEXT: AtomicU8 = AtomicU8::new(1);
    let [.., high, low] = std::process::id().to_be_bytes();
    Ipv4Addr::new(127, high, low, NEXT.fetch_add(1, Ordering::Relaxed)).into()
}

/// An address where nothing listens and nothing else will: no outgoing connection takes its
/// port from 127.0.0.1.
pub fn free_address() -> SocketAddr {
    let listener = TcpListener::bind((own_ip(), 0)).unwrap();
    listener.local_addr().unwrap()
}
