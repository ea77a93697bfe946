//! All services in one process, each on its own ports.

use std::ffi::OsString;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use clap::Arg;
use vitalmesh_chassis::{StartError, default_address, reachable};

use crate::{BoundService, SERVICES, ServiceInfo};

/// Binds every service of the list on its default ports at `ip`, or none. The services reach each
/// other there. Those that store data do so below `data_dir`, and the edge expects heartbeats of
/// every service that sends them.
///
/// # Errors
///
/// As [`crate::Entry::bind`].
pub fn bind_all(ip: IpAddr, data_dir: &Path) -> Result<Vec<BoundService>, StartError> {
    let expected = expected_services();
    let value = |setting: &Arg| match setting.get_id().as_str() {
        "data_dir" => Some(data_dir.into()),
        "expected_services" => Some(OsString::from(&expected)),
        _ => moved(setting, ip).map(OsString::from),
    };
    let bind = |entry: &crate::Entry| {
        let command = entry.command();
        let flags = command.get_arguments().filter_map(|setting| {
            let flag = format!("--{}", setting.get_long()?);
            Some([OsString::from(flag), value(setting)?])
        });
        entry.bind(flags.flatten())
    };
    SERVICES.iter().map(bind).collect()
}

/// The value of the edge's `--expected-services`: every service that sends heartbeats.
pub fn expected_services() -> String {
    let mut services = ServiceInfo::all();
    services.retain(|service| service.sends_heartbeats);
    let names: Vec<_> = services.iter().map(|service| service.name).collect();
    names.join(",")
}

/// The default of a setting that is a local address or URL, at `ip` instead.
fn moved(setting: &Arg, ip: IpAddr) -> Option<String> {
    if let Some(default) = default_address(setting) {
        let is_local = default.ip().is_loopback();
        return is_local.then(|| SocketAddr::new(ip, default.port()).to_string());
    }
    let default = default_url(setting)?;
    let reached = SocketAddr::new(reachable(ip), default.port());
    Some(format!("http://{reached}"))
}

/// The address in the default of a setting that is the URL of a service on this machine.
pub(crate) fn default_url(setting: &Arg) -> Option<SocketAddr> {
    let default = setting.get_default_values().first()?.to_str()?;
    let address: SocketAddr = default.strip_prefix("http://")?.parse().ok()?;
    address.ip().is_loopback().then_some(address)
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use super::*;

    const SOMEWHERE: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7));

    fn setting(default: &'static str) -> Arg {
        Arg::new("setting").default_value(default)
    }

    fn address(default: &'static str) -> Arg {
        setting(default).value_parser(clap::value_parser!(SocketAddr))
    }

    #[test]
    fn local_addresses_and_urls_move_and_everything_else_stays() {
        let everywhere = IpAddr::from(Ipv6Addr::UNSPECIFIED);
        let cases = [
            (
                address("127.0.0.1:50051"),
                SOMEWHERE,
                Some("192.0.2.7:50051"),
            ),
            (address("127.0.0.1:50051"), everywhere, Some("[::]:50051")),
            (address("192.0.2.1:50051"), SOMEWHERE, None),
            (setting("127.0.0.1:50051"), SOMEWHERE, None),
            (
                setting("http://127.0.0.1:50053"),
                SOMEWHERE,
                Some("http://192.0.2.7:50053"),
            ),
            (
                setting("http://127.0.0.1:50053"),
                everywhere,
                Some("http://[::1]:50053"),
            ),
            (setting("http://192.0.2.1:50053"), SOMEWHERE, None),
            (setting("http://edge:50053"), SOMEWHERE, None),
            (setting("data"), SOMEWHERE, None),
            (Arg::new("setting"), SOMEWHERE, None),
        ];
        for (setting, ip, expected) in cases {
            assert_eq!(moved(&setting, ip).as_deref(), expected, "{setting:?}");
        }
    }
}
