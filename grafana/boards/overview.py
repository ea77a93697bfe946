"""Whether the mesh is healthy, and if not, which service is not."""

from parts import (GREY, JOBS, RED, STATUSES, TO_SERVICE, bad_over, bad_under, column, dashboard, judged, merged, panel,
                   q, sized, sorted_by, table)
from queries import BUCKET, FAULTS, HANDLED, IS_FAULT, SERVICES, STARTED, UP, of_job, quantile, rate, share

LATE = ("(time() - max by (service) (mesh_heartbeat_last_seen_timestamp_seconds > 0)) > on (service) "
        "3 * max by (service) (mesh_heartbeat_expected_interval_seconds)")
FAULTY = 0.05
TARGETS = "job_service:grpc_client_target:info"
# Without calls of a service to itself: the panel would draw an edge of length 0 without a number.
OTHERS = f'({TARGETS} unless on (job, target) label_replace({TARGETS}, "target", "$1", "job", "(.*)"))'


def along(*matchers):
    """Calls per second along each edge."""
    calls = rate(",".join(('grpc_client_handled_total{grpc_service!~"$noise"', *matchers)) + "}", "job, grpc_service")
    known = f"{calls} * on (job, grpc_service) group_left (target) {OTHERS}"
    return f'sum by (source, target) (label_replace({known}, "source", "$1", "job", "(.*)"))'


def edges():
    """Edges in the fields of Grafana's node graph. An id must not have a space, or the edge loses its arrow."""
    def painted(series, colour):
        return f'label_replace({series}, "color", "{colour}", "", "")'

    calls, pair = along(), "on (source, target)"
    bad = f"{calls} and {pair} ({along(IS_FAULT)} / {pair} {calls} > {FAULTY})"
    return f'label_join({painted(bad, RED)} or {pair} {painted(calls, GREY)}, "id", ">", "source", "target")'


def stats():
    def stat(title, description, unit, targets, thresholds=None, none=None, overrides=()):
        return panel("stat", title, description, unit, targets, 4, 4, thresholds, none=none, overrides=overrides)

    up, known = f"(count(sum by (job) ({UP}) > 0) or vector(0))", f"count(count by (job) ({UP}))"

    return [
        stat("Services up", "Services with at least one instance that Prometheus can scrape, and those without.",
             "none", [q(up, "up"), q(f"{known} - {up}", "down")],
             overrides=[column("down", ("thresholds", bad_over(1)))]),
        stat("Request rate", "gRPC calls started per second, at all servers.", "reqps", [q(rate(STARTED))]),
        stat("Calls without fault", "Share of calls that did not end in a fault; absent without traffic.",
             "percentunit", [q("1 - " + share(FAULTS, HANDLED))], bad_under(0.99), "no traffic"),
        stat("p99 latency", "99 % of unary calls at the servers are faster than this.", "s",
             [q(quantile(0.99, BUCKET))], bad_over(0.5), "no traffic"),
        stat("Late heartbeats", "Services whose last heartbeat is older than three intervals.", "none",
             [q(f"count({LATE}) or vector(0)")], bad_over(1)),
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
    columns = {"job": "Service", "Value #A": "Rate", "Value #B": "Faults", "Value #C": "p50", "Value #D": "p99",
               "Value #E": "Instances", "Value #F": "Running for", "version": "Version"}
    return panel(
        "table", "Services", "Each service now; a name opens its dashboard.", "none",
        [table(rate(STARTED, "job"), "A"), table(share(FAULTS, HANDLED, "job"), "B"),
         table(quantile(0.5, BUCKET, "job, le"), "C"), table(quantile(0.99, BUCKET, "job, le"), "D"),
         table(f"sum by (job) ({UP})", "E"),
         table(f'time() - min by (job) ({of_job("process_start_time_seconds", SERVICES)})', "F"),
         table(f'max by (job, version) ({of_job("mesh_build_info")}) * 1', "G")], 12, 8,
        overrides=[column("Service", ("links", [TO_SERVICE])), sized("Rate", "reqps"),
                   judged("Faults", "percentunit", bad_over(0.05)), sized("p50", "s"),
                   judged("p99", "s", bad_over(0.5)), judged("Instances", "none", bad_under(1)),
                   sized("Running for", "s")],
        transformations=merged(columns, ["Value #G"]), options=sorted_by("Service"))


def alerts():
    # The subject of an alert: its label service or source if it has one, else its job.
    named = 'ALERTS{alertname=~"Mesh.*"}'
    for label in ("service", "source"):
        named = f'label_replace({named}, "job", "$1", "{label}", "(.+)")'
    columns = {"alertname": "Alert", "alertstate": "State", "severity": "Severity", "job": "About", "Value": "Alerts"}
    return panel("table", "Alerts", "Alerts that fire, and pending ones that fire if they last.", "none",
                 [table(f"count by (alertname, alertstate, severity, job) ({named})", "A")], 12, 5,
                 none="no alert fires or is pending", overrides=[column("About", ("links", [TO_SERVICE]))],
                 transformations=merged(columns), options=sorted_by("State"))


def over_time():
    http, spent = of_job("http_server_requests_total"), of_job("http_server_request_duration_seconds_bucket")
    return [
        panel("timeseries", "Calls by service", "gRPC calls started per second, at each server.", "reqps",
              [q(rate(STARTED, "job"), "{{job}}")], 12, 7, stack=True),
        panel("timeseries", "Fault share by service", "Share of each service's calls that end in a fault; a method's "
              "alert fires after five minutes over the line.", "percentunit",
              [q(share(FAULTS, HANDLED, "job"), "{{job}}")], 12, 7, bad_over(0.05), none="no traffic", high=0.06),
        panel("timeseries", "HTTP requests by route", "REST requests per second, by service and route.", "reqps",
              [q(rate(http, "job, route") + " > 0", "{{job}} {{route}}")], 8, 7, stack=True, none="no requests"),
        panel("timeseries", "HTTP requests by status", "REST requests per second, by status.", "reqps",
              [q(rate(http, "status") + " > 0", "{{status}}")], 8, 7, stack=True, colours=STATUSES, none="no requests"),
        panel("timeseries", "HTTP latency", "95 % of a route's REST requests are faster than this.", "s",
              [q(quantile(0.95, spent, "job, route, le"), "{{job}} {{route}}", exemplar=True)], 8, 7,
              none="no requests"),
    ]


def board():
    return dashboard("mesh-overview", "Mesh overview", "Whether the mesh is healthy, and if not, which service is not.",
                     [*stats(), topology(), services(), alerts(), *over_time()], [JOBS])
