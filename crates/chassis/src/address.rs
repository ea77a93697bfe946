//! The addresses of ports as settings.

use std::any::TypeId;
use std::net::{AddrParseError, IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use clap::Arg;

/// The default of a setting that is the address of a port; `None` for every other setting.
pub fn default_address(setting: &Arg) -> Option<SocketAddr> {
    let is_address = setting.get_value_parser().type_id() == TypeId::of::<SocketAddr>();
    let default = setting.get_default_values().first()?.to_str()?;
    is_address.then(|| default.parse().ok()).flatten()
}

/// Lets the setting of a port's address be an IP alone, which keeps the default port.
pub(crate) fn or_ip_alone(setting: Arg) -> Arg {
    match default_address(&setting) {
        Some(default) => setting.value_parser(move |text: &str| address(text, default.port())),
        None => setting,
    }
}

fn address(text: &str, default_port: u16) -> Result<SocketAddr, AddrParseError> {
    match text.parse::<IpAddr>() {
        Ok(ip) => Ok(SocketAddr::new(ip, default_port)),
        Err(_) => text.parse(),
    }
}

/// The address at which a server bound to all interfaces is reached from its own host; every other
/// address as it is.
pub fn reachable(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ip_alone_keeps_the_default_port() {
        for (text, expected) in [
            ("0.0.0.0", "0.0.0.0:50051"),
            ("::", "[::]:50051"),
            ("::1", "[::1]:50051"),
            ("127.0.0.1:0", "127.0.0.1:0"),
            ("[::1]:9", "[::1]:9"),
        ] {
            assert_eq!(address(text, 50051), Ok(expected.parse().unwrap()));
        }
        for wrong in ["", "localhost", ":50051", "127.0.0.1:", "127.0.0.1:65536"] {
            let error = address(wrong, 1).unwrap_err();
            assert_eq!(error.to_string(), "invalid socket address syntax");
        }
    }

    #[test]
    fn only_the_address_of_a_port_has_a_default_address() {
        let setting = || Arg::new("setting").default_value("127.0.0.1:8012");
        assert_eq!(default_address(&setting()), None);
        let address = setting().value_parser(clap::value_parser!(SocketAddr));
        let expected = SocketAddr::from(([127, 0, 0, 1], 8012));
        assert_eq!(default_address(&address), Some(expected));
    }
}
