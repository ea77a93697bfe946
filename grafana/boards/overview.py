"""Whether the mesh is healthy, and if not, which service is not."""

from parts import (GREY, JOBS, LOG, LOG_SECONDS, RED, STATUSES, TO_RUNBOOK, TO_SERVICE, bad_over, bad_under, column,
                   dashboard, judged, merged, panel, q, sized, sorted_by, table, took, widths)
from queries import (AGE, BUCKET, FAULTS, GONE, HANDLED, INTERVAL, IS_5XX, IS_FAULT, REST, REST_BUCKET, REST_FAULTS,
                     SENDER, SERVICES, STARTED, UP, of_job, quantile, rate, rest, share)

FAULTY = 0.05
TARGETS = "job_service:grpc_client_target:info"
# Without calls of a service to itself: the panel would draw an edge of length 0 without a number.
OTHERS = f'({TARGETS} unless on (job, target) label_replace({TARGETS}, "target", "$1", "job", "(.*)"))'


def along(*matchers):
    """Calls per second along each edge."""
    calls = rate(",".join(('grpc_client_handled_total{grpc_service!~"$noise"', *matchers)) + "}", "job, grpc_service")
    known = f"{calls} * on (job, grpc_service) group_left (target) {OTHERS}"
    return f'sum by (source, target) (label_replace({known}, "source", "$1", "job", "(.*)"))'


def from_outside(*matchers):
    """REST requests per second at each service that has any. Their senders are one node."""
    reached = f'label_replace({rate(rest(*matchers), "job")} > 0, "target", "$1", "job", "(.*)")'
    return f'sum by (source, target) (label_replace({reached}, "source", "REST-clients", "", ""))'


def edges():
    """Edges in the fields of Grafana's node graph. An id must not have a space, or the edge loses its arrow."""
    def painted(series, colour):
        return f'label_replace({series}, "color", "{colour}", "", "")'

    calls, pair = f"({along()} or {from_outside()})", "on (source, target)"
    faults = f"({along(IS_FAULT)} or {from_outside(IS_5XX)})"
    bad = f"{calls} and {pair} ({faults} / {pair} {calls} > {FAULTY})"
    return f'label_join({painted(bad, RED)} or {pair} {painted(calls, GREY)}, "id", ">", "source", "target")'


def stats():
    def stat(title, description, unit, targets, thresholds=None, none=None, overrides=()):
        return panel("stat", title, description, unit, targets, 3, 4, thresholds, none=none, overrides=overrides)

    up, known = f"(count(sum by (job) ({UP}) > 0) or vector(0))", f"count(count by (job) ({UP}))"

    return [
        stat("Services up", "Services with at least one instance that Prometheus can scrape, and those without.",
             "none", [q(up, "up"), q(f"{known} - {up}", "down")],
             overrides=[column("down", ("thresholds", bad_over(1)))]),
        stat("Request rate", "gRPC calls started per second, at all servers.", "reqps", [q(rate(STARTED))]),
        stat("Calls without fault", "Share of gRPC calls that did not end in a fault; absent without traffic.",
             "percentunit", [q("1 - " + share(FAULTS, HANDLED))], bad_under(0.99), "no calls"),
        stat("p99 latency", "99 % of unary calls at the servers are faster than this.", "s",
             [q(quantile(0.99, BUCKET))], bad_over(0.5), "no unary calls"),
        stat("REST rate", "REST requests completed per second, at all services.", "reqps", [q(rate(REST))],
             none="no REST"),
        stat("REST without fault", "Share of REST requests that did not end in a status 5xx; absent without traffic.",
             "percentunit", [q("1 - " + share(REST_FAULTS, REST))], bad_under(0.99), "no requests"),
        stat("Heartbeats", "Instances seen within three intervals, late ones, and those that the edge has forgotten in "
             "the time range.", "none",
             [q(f"count({AGE} <= on ({SENDER}) 3 * {INTERVAL}) or vector(0)", "seen"),
              q(f"count({AGE} > on ({SENDER}) 3 * {INTERVAL}) or vector(0)", "late"),
              q(f"count({GONE}) or vector(0)", "gone")], overrides=[column("late", ("thresholds", bad_over(1)))]),
        stat("Firing alerts", "Alerts of the mesh that fire now.", "none",
             [q('count(ALERTS{alertstate="firing",alertname=~"Mesh.*"}) or vector(0)')], bad_over(1)),
    ]


def topology():
    # Grafana before 12.4 draws a number only from a field named mainstat.
    named = {"id": "calculateField", "options": {"mode": "reduceRow", "alias": "mainstat", "timeSeries": False,
                                                 "replaceFields": False,
                                                 "reduce": {"reducer": "sum", "include": ["Value"]}}}
    return panel("nodeGraph", "Topology", "Who calls whom: a circle shows the incoming calls per second from other "
                 "services, an edge its own when pointed at; an edge is red if over 5 % of its calls are faults.",
                 "reqps",
                 [{**table(edges(), "edges"), "legendFormat": "__auto"}], 12, 13, transformations=[named],
                 # Shown after the number as written here.
                 options={"edges": {"mainStatUnit": "req/s"}, "nodes": {"mainStatUnit": "req/s"}})


def services():
    columns = {"job": "Service", "Value #A": "gRPC", "Value #B": "Faults", "Value #C": "p99", "Value #D": "REST",
               "Value #E": "REST faults", "Value #F": "REST p99", "Value #G": "Up", "Value #H": "Running for"}
    return panel(
        "table", "Services", "Each service now: its gRPC calls and its REST requests; a name opens its dashboard.",
        "none",
        [table(rate(STARTED, "job"), "A"), table(share(FAULTS, HANDLED, "job"), "B"),
         table(quantile(0.99, BUCKET, "job, le"), "C"), table(rate(REST, "job"), "D"),
         table(share(REST_FAULTS, REST, "job"), "E"), table(quantile(0.99, REST_BUCKET, "job, le"), "F"),
         table(f"sum by (job) ({UP})", "G"),
         table(f'time() - min by (job) ({of_job("process_start_time_seconds", SERVICES)})', "H")], 12, 8,
        overrides=[column("Service", ("links", [TO_SERVICE])), sized("gRPC", "reqps"),
                   judged("Faults", "percentunit", bad_over(0.05)), took("p99", 0.5), sized("REST", "reqps"),
                   judged("REST faults", "percentunit", bad_over(0.05)), took("REST p99"),
                   judged("Up", "none", bad_under(1)), sized("Running for", "s"),
                   *widths("Service", 91, gRPC=99, Faults=65, p99=70, REST=99, REST_faults=92, REST_p99=75, Up=50,
                           Running_for=92)],
        transformations=merged(columns), options=sorted_by("Service"))


def alerts():
    # The subject of an alert: its label service or source if it has one, else its job.
    named = 'ALERTS{alertname=~"Mesh.*"}'
    for label in ("service", "source"):
        named = f'label_replace({named}, "job", "$1", "{label}", "(.+)")'
    columns = {"alertname": "Alert", "job": "About", "alertstate": "State", "severity": "Severity", "Value": "Alerts"}
    return panel("table", "Alerts", "Alerts that fire, and pending ones that fire if they last; a name opens the "
                 "alert's page.", "none",
                 [table(f"count by (alertname, alertstate, severity, job) ({named})", "A")], 12, 5,
                 none="no alert fires or is pending",
                 overrides=[column("Alert", ("links", [TO_RUNBOOK])), column("About", ("links", [TO_SERVICE])),
                            *widths("Alert", 258, About=110, State=80, Severity=85, Alerts=70)],
                 transformations=merged(columns), options=sorted_by("State"))


def over_time():
    http, spent = of_job("http_server_requests_total"), of_job("http_server_request_duration_seconds_bucket")
    return [
        panel("timeseries", "Calls by service", "gRPC calls started and REST requests completed per second, at each "
              "service; the scale is logarithmic.", "reqps",
              [q(rate(STARTED, "job"), "{{job}}"), q(rate(REST, "job") + " > 0", "{{job}} REST")], 12, 7, custom=LOG),
        panel("timeseries", "Fault share by service", "Share of each service's calls and requests that end in a "
              "fault; the alert of a method or route fires after five minutes over the line.", "percentunit",
              [q(share(FAULTS, HANDLED, "job"), "{{job}}"), q(share(REST_FAULTS, REST, "job"), "{{job}} REST")],
              12, 7, bad_over(0.05), none="no traffic", high=0.06),
        panel("timeseries", "REST requests by route", "REST requests per second, by service and route; the scale is "
              "logarithmic.", "reqps", [q(rate(http, "job, route") + " > 0", "{{job}} {{route}}")], 8, 7,
              none="no requests", custom=LOG),
        panel("timeseries", "REST requests by status", "REST requests per second, by status; the scale is "
              "logarithmic.", "reqps", [q(rate(http, "status") + " > 0", "{{status}}")], 8, 7, colours=STATUSES,
              none="no requests", custom=LOG),
        panel("timeseries", "REST latency", "95 % of a route's REST requests are faster than this; the scale is "
              "logarithmic.", "s",
              [q(quantile(0.95, spent, "job, route, le"), "{{job}} {{route}}", exemplar=True)], 8, 7,
              none="no requests", custom=LOG_SECONDS),
    ]


def board():
    return dashboard("mesh-overview", "Mesh overview", "Whether the mesh is healthy, and if not, which service is not.",
                     [*stats(), topology(), services(), alerts(), *over_time()], [JOBS])
