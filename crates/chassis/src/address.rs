//! The addresses of ports as settings.

use std::any::TypeId;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use clap::Arg;

/// The default of a setting that is the address of a port; `None` for every other setting.
pub fn default_address(setting: &Arg) -> Option<SocketAddr> {
    let is_address = setting.get_value_parser().type_id() == TypeId::of::<SocketAddr>();
    let default = setting.get_default_values().first()?.to_str()?;
    is_address.then(|| default.parse().ok()).flatten()
}

/// Lets the setting of a port's address take the forms of [`parse_address`].
pub(crate) fn in_every_form(setting: Arg) -> Arg {
    match default_address(&setting) {
        Some(default) => {
            setting.value_parser(move |text: &str| parse_address(text, default.port()))
        }
        None => setting,
    }
}

/// Parses the address of a port: `127.0.0.1:80`, `localhost:80`, `[::1]:80`, or `:80` for every
/// interface. An IP alone has the default port; `http://` in front is ignored.
///
/// # Errors
///
/// If the text is none of these.
pub fn parse_address(text: &str, default_port: u16) -> Result<SocketAddr, String> {
    let expected = || {
        format!(
            "expected an address such as 127.0.0.1:{default_port}, localhost:{default_port}, \
             [::1]:{default_port}, :{default_port} for every interface, or an IP alone"
        )
    };
    let text = without_scheme(text.trim());
    if let Ok(ip) = parse_ip(text) {
        return Ok(SocketAddr::new(ip, default_port));
    }
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    let (host, port) = text.rsplit_once(':').ok_or_else(expected)?;
    let ip = match host {
        "" => Ipv4Addr::UNSPECIFIED.into(),
        host => parse_ip(host).map_err(|_| expected())?,
    };
    let is_number = port.bytes().all(|byte| byte.is_ascii_digit());
    let port = port.parse().ok().filter(|_| is_number);
    Ok(SocketAddr::new(ip, port.ok_or_else(expected)?))
}

/// Parses an IP, `localhost`, or `*` for every interface.
///
/// # Errors
///
/// If the text is none of these.
pub fn parse_ip(text: &str) -> Result<IpAddr, String> {
    let text = text.trim();
    let in_brackets = text
        .strip_prefix('[')
        .and_then(|text| text.strip_suffix(']'));
    match text {
        "*" => Ok(Ipv4Addr::UNSPECIFIED.into()),
        name if name.eq_ignore_ascii_case("localhost") => Ok(Ipv4Addr::LOCALHOST.into()),
        _ => match in_brackets {
            Some(text) => text.parse().map(IpAddr::V6),
            None => text.parse(),
        }
        .map_err(|_| "expected an IP such as 127.0.0.1, 0.0.0.0 or ::1, or localhost".to_owned()),
    }
}

fn without_scheme(text: &str) -> &str {
    match text.split_at_checked("http://".len()) {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http://") => {
            rest.strip_suffix('/').unwrap_or(rest)
        }
        _ => text,
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
    fn an_address_has_the_forms_that_people_write() {
        for (text, expected) in [
            ("0.0.0.0", "0.0.0.0:50051"),
            ("::", "[::]:50051"),
            ("::1", "[::1]:50051"),
            ("[::1]", "[::1]:50051"),
            ("localhost", "127.0.0.1:50051"),
            ("127.0.0.1:0", "127.0.0.1:0"),
            ("[::1]:9", "[::1]:9"),
            ("LocalHost:80", "127.0.0.1:80"),
            (":8080", "0.0.0.0:8080"),
            ("*:8080", "0.0.0.0:8080"),
            (" 127.0.0.1:80\n", "127.0.0.1:80"),
            ("http://127.0.0.1:80", "127.0.0.1:80"),
            ("HTTP://localhost:80/", "127.0.0.1:80"),
        ] {
            assert_eq!(
                parse_address(text, 50051),
                Ok(expected.parse().unwrap()),
                "{text}"
            );
        }
        for wrong in [
            "",
            " ",
            ":",
            "8080",
            "nowhere",
            "edge:80",
            "127.0.0.1:",
            "127.0.0.1:65536",
            ":-1",
            ":+1",
            "127.0.0.1:80:80",
            "[::1",
            "[127.0.0.1]:80",
            "https://127.0.0.1:80",
            "http://127.0.0.1:80/path",
            "127.0.0.1:80/",
            "256.0.0.1:80",
        ] {
            let error = parse_address(wrong, 50051).unwrap_err();
            assert!(
                error.starts_with("expected an address such as 127.0.0.1:50051"),
                "{wrong}"
            );
        }
    }

    #[test]
    fn an_ip_may_be_localhost_or_an_asterisk() {
        for (text, expected) in [
            ("127.0.0.1", "127.0.0.1"),
            (" LOCALHOST ", "127.0.0.1"),
            ("*", "0.0.0.0"),
            ("[::1]", "::1"),
            ("::1", "::1"),
        ] {
            assert_eq!(parse_ip(text), Ok(expected.parse().unwrap()), "{text}");
        }
        for wrong in ["", "edge", "127.0.0.1:80", "[127.0.0.1]", "127.1"] {
            assert!(
                parse_ip(wrong).unwrap_err().starts_with("expected an IP"),
                "{wrong}"
            );
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
