"""A service's upstreams, as the service sees them."""

from parts import (CODES, LOG, SHORT, SHORT_CELLS, TO_SERVICE, bad_over, column, dashboard, judged, merged, panel, q,
                   sized, sorted_by, table, took, variable, widths)
from queries import IS_FAULT, JOB, UNARY, client, in_flight, mean, quantile, rate, share

FAULTS, ENDED = client("handled_total", IS_FAULT), client("handled_total")
BY, LEGEND = "job, grpc_service", "{{job}} to {{grpc_service}}"
# Client latency minus server latency, for the gRPC services of the mesh. The two count the same calls at other
# scrapes, so the means of a few calls are of different calls: absent under LEAST calls per second.
LEAST = 1
MORE = " - on (grpc_service) ".join(
    mean(f"grpc_{side}_handling_seconds", f'{of}grpc_service!~"$noise",{UNARY}', "grpc_service")
    for side, of in (("client", JOB + ","), ("server", "")))
MORE += (f' and on (grpc_service) {rate(client("handled_total", UNARY), "grpc_service")} >= {LEAST}')
HANDLED, FAILED = (f'edge:grpc_client_{what}:rate5m{{source=~"$job"}}' for what in ("handled", "faults"))
# As in its alert: 0 for a server that no call reaches.
AT_SERVER = ('label_replace(job:grpc_server_faults:rate5m, "target", "$1", "job", "(.*)") '
             "or on (target) 0 * group by (target) (edge:grpc_client_handled:rate5m)")
BEYOND = f"clamp_min({FAILED} - on (target) group_left () ({AT_SERVER}), 0) / ({HANDLED} > 0)"


def dependencies():
    columns = {"job": "From", "target": "To", "grpc_service": "gRPC service", "Value #A": "Rate", "Value #B": "Faults",
               "Value #C": "p50", "Value #D": "p99"}
    known = "* on (job, grpc_service) group_left (target) job_service:grpc_client_target:info"
    bucket = client("handling_seconds_bucket", UNARY)
    return panel(
        "table", "Dependencies", "Who calls whom now, at what rate, with which faults and latency.", "none",
        [table(f"{rate(client('started_total'), BY)} {known}", "A"), table(share(FAULTS, ENDED, BY), "B"),
         table(quantile(0.5, bucket, BY + ", le"), "C"), table(quantile(0.99, bucket, BY + ", le"), "D")], 24, 7,
        overrides=[column("From", ("links", [TO_SERVICE])), column("To", ("links", [TO_SERVICE])),
                   sized("Rate", "reqps"), judged("Faults", "percentunit", bad_over(0.05)), took("p50"),
                   took("p99", 0.5),
                   column("gRPC service", ("mappings", SHORT_CELLS)),
                   *widths("gRPC service", 140, From=100, To=100, Rate=99, Faults=65, p50=75, p99=75)],
        transformations=merged(columns), options=sorted_by("Rate", desc=True))


def old_names():
    def used(side):
        started = f'grpc_{side}_started_total{{grpc_service=~"$old"}}'
        return rate(started, "job, grpc_service, grpc_method") + " > 0"

    name = "{{grpc_service}}/{{grpc_method}}"
    return panel("timeseries", "Calls under old API names", "Calls per second that servers receive, and clients "
                 "make, under the names of the older API.", "reqps",
                 [q(used("server"), "{{job}} gets " + name), q(used("client"), "{{job}} makes " + name)],
                 24, 7, none="no caller uses the old names")


def board():
    panels = [
        dependencies(),
        panel("timeseries", "Calls out", "Calls started per second, by the gRPC service called; the scale is "
              "logarithmic.", "reqps",
              [q(rate(client("started_total"), BY), LEGEND)], custom=LOG, transformations=SHORT),
        panel("timeseries", "Completed by code", "Calls completed per second, by the gRPC code that the client "
              "received.", "reqps",
              [q(rate(ENDED, "grpc_code") + " > 0", "{{grpc_code}}")], colours=CODES, stack=True, none="no calls"),
        panel("timeseries", "Faults by code", "Faults per second at the client: of the server, of the network and by "
              "its own deadlines.", "reqps", [q(rate(FAULTS, "grpc_code") + " > 0", "{{grpc_code}}")], colours=CODES,
              none="no faults"),
        panel("timeseries", "Fault share", "Share of outgoing calls that ended in a fault.", "percentunit",
              [q(share(FAULTS, ENDED, BY), LEGEND)], none="no calls", high=0.06, transformations=SHORT),
        panel("timeseries", "Faults beyond the server's", "Share of the client's calls that end in a fault which "
              "the server has counted for no caller; the alert fires after five minutes over the line.", "percentunit",
              [q(BEYOND, "{{source}} to {{target}}")], thresholds=bad_over(0.05), none="no calls", high=0.06),
        panel("timeseries", "p99 latency", "99 % of the outgoing unary calls are faster than this.", "s",
              [q(quantile(0.99, client("handling_seconds_bucket", UNARY), BY + ", le"), LEGEND, exemplar=True)],
              none="no unary calls", transformations=SHORT),
        panel("timeseries", "Client minus server latency", "Mean latency at the clients minus mean latency at the "
              "servers: network, queues, connecting; absent under one call per second.", "s",
              [q(MORE, "{{grpc_service}}")], low=None, none="under one call per second", transformations=SHORT),
        panel("timeseries", "In progress", "Outgoing calls started and not completed.", "short",
              [q(in_flight(client, BY), LEGEND)], transformations=SHORT),
        panel("timeseries", "Messages", "Messages per second that the client sends and receives; the scale is "
              "logarithmic.", "short",
              [q(rate(client(f"msg_{verb}_total"), "grpc_service"), f"{{{{grpc_service}}}} {verb}")
               for verb in ("sent", "received")], 24, 7, custom=LOG, transformations=SHORT),
        old_names(),
    ]
    jobs = variable("job", "label_values(grpc_client_started_total, job)", "Client")
    return dashboard("mesh-client", "Mesh client", "A service's upstreams, as the service sees them.", panels, [jobs])
