//! Addresses that no other test uses, also before a listener is bound.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::sync::atomic::{AtomicU8, Ordering};

/// A loopback address that no other test uses: all its ports are free, also fixed ones.
pub fn own_ip() -> IpAddr {
    static NEXT: AtomicU8 = AtomicU8::new(1);
    let [.., high, low] = std::process::id().to_be_bytes();
    Ipv4Addr::new(127, high, low, NEXT.fetch_add(1, Ordering::Relaxed)).into()
}

/// An address without a listener. No outgoing connection takes its port, since those use 127.0.0.1.
pub fn free_address() -> SocketAddr {
    let listener = TcpListener::bind((own_ip(), 0)).unwrap();
    listener.local_addr().unwrap()
}
