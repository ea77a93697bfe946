"""One method, at its servers and at its callers."""

from parts import CODES, P50_95_99, QUANTILES, bad_over, dashboard, panel, pie, q, variable
from queries import IS_FAULT, increase, quantile, rate, share

ONE = 'grpc_service="$grpc_service",grpc_method="$grpc_method"'


def of(name, *more):
    return f"{name}{{{','.join((ONE, *more))}}}"


def board():
    handled, faults = of("grpc_server_handled_total"), of("grpc_server_handled_total", IS_FAULT)
    bucket, calls = of("grpc_server_handling_seconds_bucket"), of("grpc_client_handled_total")
    fast = of("grpc_server_handling_seconds_bucket", 'le="0.25"')
    panels = [
        panel("timeseries", "Rate by instance", "Calls started per second, at each instance that serves the method.",
              "reqps", [q(rate(of("grpc_server_started_total"), "job, instance"), "{{job}} {{instance}}")], stack=True),
        panel("timeseries", "Completed by code", "Calls completed per second, by gRPC code.", "reqps",
              [q(rate(handled, "grpc_code") + " > 0", "{{grpc_code}}")], colours=CODES, stack=True, none="no calls"),
        panel("timeseries", "Fault share", "Share of calls that end in a fault; the alert fires after five minutes "
              "over the line.", "percentunit", [q(share(faults, handled, "job"), "{{job}}")],
              thresholds=bad_over(0.05), none="no calls", high=0.06),
        panel("timeseries", "Latency", "Half, 95 % and 99 % of the calls are faster than these; the alert fires after "
              "ten minutes of p99 over the line, except for streams, which last as long as they are open.", "s",
              [q(quantile(x, bucket), name, exemplar=x == 0.99) for x, name in P50_95_99],
              thresholds=bad_over(0.5), colours=QUANTILES, none="no calls"),
        panel("timeseries", "Slower than 250 ms", "Share of calls that took longer than 250 ms.", "percentunit",
              [q(f'1 - {rate(fast)} / ({rate(of("grpc_server_handling_seconds_count"))} > 0)', "slower")],
              none="no calls", high=0.06),
        panel("timeseries", "Callers", "Calls of the method per second, by calling service.", "reqps",
              [q(rate(calls, "job"), "{{job}}")], stack=True, none="no service of the mesh calls it"),
        panel("timeseries", "Messages", "Messages per second that the servers send and receive.", "short",
              [q(rate(of("grpc_server_msg_sent_total")), "sent"),
               q(rate(of("grpc_server_msg_received_total")), "received")]),
        pie("Codes over the range", "Results of the calls in the time range.",
            [q(increase(handled, "grpc_code") + " > 0", "{{grpc_code}}")], "no calls", CODES, 12),
    ]
    services = 'label_values(grpc_server_started_total{grpc_service!~"$noise"}, grpc_service)'
    methods = 'label_values(grpc_server_started_total{grpc_service="$grpc_service"}, grpc_method)'
    return dashboard("mesh-method", "Mesh method", "One method, at its servers and at its callers.", panels,
                     [variable("grpc_service", services, "gRPC service", many=False,
                               first="vitalmesh.revert_name.v1.RevertNameService"),
                      variable("grpc_method", methods, "Method", many=False, first="RevertName")])
