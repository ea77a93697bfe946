//! The names of call durations: go-grpc-prometheus', or OpenTelemetry's stable ones.

/// Under which names the handling-time histogram is shown. Both show the same calls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum RpcConventions {
    /// `grpc_server_handling_seconds`, `grpc_client_handling_seconds`. The default.
    #[default]
    Grpc,
    /// `rpc_server_call_duration_seconds`, `rpc_client_call_duration_seconds`: the stable
    /// OpenTelemetry conventions, as Prometheus names. Their labels are `rpc_system_name`,
    /// `rpc_method`, `rpc_response_status_code` and, for errors, `error_type`.
    Stable,
    /// Both families.
    Both,
}

// === impl RpcConventions ===

impl RpcConventions {
    /// The choice that a value of `OTEL_SEMCONV_STABILITY_OPT_IN` makes: [`Both`](Self::Both) for
    /// a list with `rpc/dup`, [`Stable`](Self::Stable) for one with `rpc`, otherwise
    /// [`Grpc`](Self::Grpc).
    pub fn opted_in(list: &str) -> Self {
        let has = |word| {
            list.split(',')
                .any(|item| item.trim().eq_ignore_ascii_case(word))
        };
        match () {
            () if has("rpc/dup") => Self::Both,
            () if has("rpc") => Self::Stable,
            () => Self::Grpc,
        }
    }

    pub(crate) fn has_grpc(self) -> bool {
        self != Self::Stable
    }

    pub(crate) fn has_stable(self) -> bool {
        self != Self::Grpc
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_opts_in_to_the_stable_names_and_dup_to_both() {
        for (list, expected) in [
            ("", RpcConventions::Grpc),
            ("http,database", RpcConventions::Grpc),
            ("rpc", RpcConventions::Stable),
            (" http , rpc ", RpcConventions::Stable),
            ("RPC", RpcConventions::Stable),
            ("rpc/dup", RpcConventions::Both),
            ("rpc,rpc/dup", RpcConventions::Both),
            ("rpc/dup,rpc", RpcConventions::Both),
            ("rpcs,xrpc,rpc/", RpcConventions::Grpc),
        ] {
            assert_eq!(RpcConventions::opted_in(list), expected, "{list}");
        }
    }
}
