#!/usr/bin/env python3
"""Writes grafana/dashboards/*.json. `--check` writes nothing and fails where a file is not what this makes.

Queries use $noise (gRPC services that are no traffic) and $fault (codes that are faults, docs/METRICS.md).
"""

import json
import pathlib
import sys

OUT = pathlib.Path(__file__).parent / "dashboards"
SCHEMA = 42
NOISE = "grpc[.](health|reflection)[.].*"
FAULT = "(?i)unknown|deadline_?exceeded|unimplemented|internal|unavailable|data_?loss|resource_?exhausted"
SOURCE = {"type": "prometheus", "uid": "$datasource"}

GREEN, BLUE, YELLOW, ORANGE, RED, GREY = "#37872D", "#1F60C4", "#E0B400", "#FF780A", "#C4162A", "#8E8E8E"
CODES = [
    ("(?i)ok", GREEN),
    ("(?i)cancell?ed", GREY),
    ("(?i)invalid_?argument|not_?found|already_?exists|permission_?denied|out_?of_?range|unauthenticated", BLUE),
    ("(?i)failed_?precondition|aborted", YELLOW),
    ("(?i)resource_?exhausted", ORANGE),
    ("(?i)unknown|deadline_?exceeded|unimplemented|internal|unavailable|data_?loss", RED),
]

UNARY = 'grpc_type=~"(?i)unary"'
STREAM = 'grpc_type!~"(?i)unary"'
RATE = "[$__rate_interval]"


COLOURED = ("stat", "gauge", "bargauge", "table", "state-timeline")


def js_regex(pattern):
    """Grafana's matchers are JavaScript's: the flag goes to the end."""
    return "/^(" + pattern.removeprefix("(?i)") + ")$/i"


def server(name, *more):
    return selector(f"grpc_server_{name}", *more)


def client(name, *more):
    return selector(f"grpc_client_{name}", *more)


def selector(name, *more):
    return name + "{" + ",".join(('job=~"$job"', 'grpc_service!~"$noise"') + more) + "}"


def rate(series, by="", window=RATE):
    return f"sum{by and f' by ({by})'} (rate({series}{window}))"


def share(part, whole, by=""):
    """A share that is 0 where nothing of `part` exists, and absent without traffic."""
    return f"({rate(part, by)} or 0 * {rate(whole, by)}) / ({rate(whole, by)} > 0)"


def quantile(q, bucket, by="le"):
    return f"histogram_quantile({q}, {rate(bucket, by)})"


def q(expr, legend="__auto", **more):
    return {"expr": expr, "legendFormat": legend, **more}


def table(expr, ref):
    return {"expr": expr, "format": "table", "instant": True, "range": False, "refId": ref}


def steps(*pairs):
    return {"mode": "absolute", "steps": [{"color": c, "value": v} for v, c in pairs]}


BAD_OVER = lambda limit: steps((None, GREEN), (limit, RED))  # noqa: E731
BAD_UNDER = lambda limit: steps((None, RED), (limit, GREEN))  # noqa: E731


def panel(kind, title, description, unit, targets, w=12, h=8, thresholds=None, codes=False, stack=False,
          options=None, overrides=(), custom=None, none=None, low=0, mappings=(), **more):
    defaults = {"unit": unit, "color": {"mode": "thresholds" if kind in COLOURED else "palette-classic"}}
    defaults["thresholds"] = thresholds or steps((None, GREEN))
    if mappings:
        defaults["mappings"] = list(mappings)
    if none:
        defaults["noValue"] = none
    if kind == "timeseries":
        if low is not None:
            defaults["min"] = low
        defaults["custom"] = {"lineWidth": 1, "fillOpacity": 30 if stack else 5, "showPoints": "never",
                              "stacking": {"mode": "normal" if stack else "none", "group": "A"},
                              "thresholdsStyle": {"mode": "line" if thresholds else "off"}}
        options = options or {"legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
                              "tooltip": {"mode": "multi", "sort": "desc"}}
    if kind in ("stat", "gauge", "bargauge"):
        options = {"reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False}, **(options or {})}
    if custom:
        defaults.setdefault("custom", {}).update(custom)
    overrides = list(overrides)
    if codes:
        overrides += [{"matcher": {"id": "byRegexp", "options": js_regex(pattern)},
                       "properties": [{"id": "color", "value": {"mode": "fixed", "fixedColor": colour}}]}
                      for pattern, colour in CODES]
    made = []
    for n, target in enumerate(targets):
        target = {"refId": "ABCDEFGHIJKL"[n], "datasource": SOURCE, "editorMode": "code", **target}
        if kind in ("stat", "gauge", "bargauge", "piechart") and "range" not in target:
            target |= {"instant": True, "range": False}
        made.append(target)
    return {"type": kind, "title": title, "description": description, "datasource": SOURCE, "targets": made,
            "gridPos": {"w": w, "h": h}, "fieldConfig": {"defaults": defaults, "overrides": overrides},
            "options": options or {}, **more}


def row(title):
    return {"type": "row", "title": title, "collapsed": False, "panels": [], "gridPos": {"w": 24, "h": 1}}


def place(panels):
    """Left to right, then down; gives ids in that order."""
    x = y = line = 0
    for number, item in enumerate(panels, 1):
        grid = item["gridPos"]
        if x + grid["w"] > 24:
            x, y, line = 0, y + line, 0
        grid.update(x=x, y=y)
        x, line = x + grid["w"], max(line, grid["h"])
        item["id"] = number
    return panels


def variable(name, query, label, many=True):
    made = {"name": name, "type": "query", "label": label, "datasource": SOURCE, "definition": query, "refresh": 2,
            "query": {"qryType": 1, "query": query, "refId": "PrometheusVariableQueryEditor-VariableQuery"},
            "sort": 1, "multi": many, "includeAll": many, "options": [], "hide": 0, "regex": "", "current": {}}
    if many:
        made |= {"allValue": ".*", "current": {"text": "All", "value": "$__all"}}
    return made


def constant(name, value):
    return {"name": name, "type": "constant", "query": value, "hide": 2, "skipUrlSync": True,
            "current": {"text": value, "value": value}, "options": [{"text": value, "value": value, "selected": True}]}


def dashboard(uid, title, description, panels, variables=()):
    source = {"name": "datasource", "type": "datasource", "label": "Data source", "query": "prometheus", "hide": 0,
              "current": {"text": "Prometheus", "value": "mesh-prometheus"}, "options": [], "refresh": 1, "regex": "",
              "multi": False, "includeAll": False}
    note = lambda name, expr, colour, text: {  # noqa: E731
        "name": name, "enable": True, "hide": False, "iconColor": colour, "datasource": SOURCE, "expr": expr,
        "titleFormat": text, "step": "15s", "useValueForTime": False}
    return {
        "uid": uid, "title": title, "description": description, "tags": ["mesh"], "schemaVersion": SCHEMA, "version": 1,
        "editable": False, "graphTooltip": 1, "refresh": "10s", "time": {"from": "now-15m", "to": "now"}, "timezone": "",
        "links": [{"type": "dashboards", "title": "Mesh", "tags": ["mesh"], "asDropdown": True, "keepTime": True,
                   "includeVars": True, "icon": "external link", "targetBlank": False, "tooltip": "", "url": ""}],
        "templating": {"list": [source, *variables, constant("noise", NOISE), constant("fault", FAULT)]},
        "annotations": {"list": [
            note("Alerts", 'ALERTS{alertname=~"Mesh.*",alertstate="firing"}', RED, "{{alertname}} {{job}}"),
            note("Restarts", "changes(process_start_time_seconds[1m]) > 0", BLUE, "{{job}} restarted")]},
        "panels": place(panels),
    }


JOBS = variable("job", "label_values(grpc_server_started_total, job)", "Service")
JOB = variable("job", "label_values(grpc_server_started_total, job)", "Service", many=False)
HANDLED, STARTED, BUCKET = server("handled_total"), server("started_total"), server("handling_seconds_bucket", UNARY)
FAULTS = server("handled_total", 'grpc_code=~"$fault"')
TARGET = "* on (job, grpc_service) group_left (target) job_service:grpc_client_target:info"
TO_SERVICE = {"title": "Open the service", "url": "/d/mesh-service?var-job=${__value.text}&var-datasource=${datasource}&${__url_time_range}"}
TO_METHOD = {"title": "Open the method", "url": "/d/mesh-method?var-grpc_service=${__data.fields.grpc_service}"
             "&var-grpc_method=${__data.fields.grpc_method}&var-datasource=${datasource}&${__url_time_range}"}


def column(name, *properties):
    return {"matcher": {"id": "byName", "options": name}, "properties": [{"id": i, "value": v} for i, v in properties]}


def merged(without=(), **names):
    return [{"id": "merge", "options": {}},
            {"id": "organize", "options": {"excludeByName": {"Time": True, **dict.fromkeys(without, True)}, "indexByName": {}, "renameByName": names}}]


def overview():
    w = 4
    edges = (f'label_join(sum by (source, target) (label_replace({rate(client("handled_total"), "job, grpc_service")} {TARGET}, '
             '"source", "$1", "job", "(.*)")), "id", " to ", "source", "target")')
    return dashboard("mesh-overview", "Mesh overview", "Is the mesh healthy, and if not, which service.", [
        panel("stat", "Services up", "Services with at least one instance that Prometheus can scrape.", "none",
              [q('count(sum by (job) (up{job=~"$job"}) > 0)', "up"), q('count(count by (job) (up{job=~"$job"}))', "known")], w, 4),
        panel("stat", "Request rate", "gRPC calls started at all servers, a second.", "reqps", [q(rate(STARTED))], w, 4),
        panel("stat", "Calls without fault", "Share of calls that did not end in a fault; absent without traffic.", "percentunit",
              [q("1 - " + share(FAULTS, HANDLED))], w, 4, BAD_UNDER(0.99), none="no traffic"),
        panel("stat", "p99 latency", "The slowest 1 % of unary calls at the servers take this long or longer.", "s",
              [q(quantile(0.99, BUCKET))], w, 4, BAD_OVER(0.5), none="no traffic"),
        panel("stat", "Late heartbeats", "Services whose last heartbeat is older than three intervals.", "none",
              [q("count((time() - max by (service) (mesh_heartbeat_last_seen_timestamp_seconds)) > on (service) "
                 "3 * max by (service) (mesh_heartbeat_expected_interval_seconds)) or vector(0)")], w, 4, BAD_OVER(1)),
        panel("stat", "Firing alerts", "Alerts of the mesh that are firing now.", "none",
              [q('count(ALERTS{alertstate="firing",alertname=~"Mesh.*"}) or vector(0)')], w, 4, BAD_OVER(1)),
        panel("nodeGraph", "Topology", "Who calls whom; the number on an edge is its calls a second.", "reqps",
              [{**table(edges, "edges"), "legendFormat": "__auto"}], 12, 12,
              options={"edges": {"mainStatUnit": "reqps"}, "nodes": {"mainStatUnit": "reqps"}}),
        panel("table", "Services", "Each service with its calls, faults and latency now; a name opens its dashboard.", "none", [
            table(rate(STARTED, "job"), "A"), table(share(FAULTS, HANDLED, "job"), "B"),
            table(quantile(0.5, BUCKET, "job, le"), "C"), table(quantile(0.99, BUCKET, "job, le"), "D"),
            table('sum by (job) (up{job=~"$job"})', "E"), table('time() - min by (job) (process_start_time_seconds{job=~"$job"})', "F"),
            table('max by (job, version) (mesh_build_info{job=~"$job"}) * 1', "G")], 12, 12,
            overrides=[column("Service", ("links", [TO_SERVICE])), column("Rate", ("unit", "reqps")),
                       column("Faults", ("unit", "percentunit"), ("thresholds", BAD_OVER(0.01)), ("custom.cellOptions", {"type": "color-text"})),
                       column("p50", ("unit", "s")),
                       column("p99", ("unit", "s"), ("thresholds", BAD_OVER(0.5)), ("custom.cellOptions", {"type": "color-text"})),
                       column("Running for", ("unit", "s"))],
            transformations=merged(["Value #G"], **{"job": "Service", "Value #A": "Rate", "Value #B": "Faults", "Value #C": "p50",
                                      "Value #D": "p99", "Value #E": "Instances", "Value #F": "Running for", "version": "Version"})),
        panel("timeseries", "Calls by service", "gRPC calls started at each server, a second.", "reqps", [q(rate(STARTED, "job"), "{{job}}")], 12, 7, stack=True),
        panel("timeseries", "Fault share by service", "Share of each service's calls that end in a fault.", "percentunit",
              [q(share(FAULTS, HANDLED, "job"), "{{job}}")], 12, 7, BAD_OVER(0.05), none="no traffic"),
        panel("timeseries", "HTTP requests at the edge", "REST requests by route and status, a second.", "reqps",
              [q(rate('http_server_requests_total{job=~"$job"}', "route, status"), "{{route}} {{status}}")], 12, 7, stack=True, none="no requests"),
        panel("timeseries", "HTTP latency at the edge", "The slowest 5 % of REST requests of a route take this long or longer.", "s",
              [q(quantile(0.95, 'http_server_request_duration_seconds_bucket{job=~"$job"}', "route, le"), "{{route}}")], 12, 7, none="no requests"),
    ], [JOBS])


def service():
    w = 6
    every = {"interval": "$interval"}
    interval = {"name": "interval", "type": "interval", "label": "Interval", "query": "5s,30s,1m,5m,15m", "auto": False,
                "auto_count": 30, "auto_min": "5s", "refresh": 2, "hide": 0, "current": {"text": "5s", "value": "5s"},
                "options": [{"text": t, "value": t, "selected": t == "5s"} for t in ("5s", "30s", "1m", "5m", "15m")]}
    sent, received = server("msg_sent_total", STREAM), server("msg_received_total", STREAM)
    pie = {"legend": {"displayMode": "table", "placement": "right", "values": ["percent"], "showLegend": True}, "pieType": "donut",
           "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False}}
    ranged = lambda series, by: f"sum by ({by}) (increase({series}[$__range]))"  # noqa: E731
    panels = [
        row("Now"),
        panel("stat", "Up", "Instances of this service that Prometheus can scrape.", "none", [q('sum(up{job=~"$job"})')], w, 4, BAD_UNDER(1)),
        panel("stat", "Calls without fault", "Share of calls that did not end in a fault.", "percentunit", [q("1 - " + share(FAULTS, HANDLED))], w, 4, BAD_UNDER(0.99), none="no traffic"),
        panel("stat", "Request rate", "Calls started, a second.", "reqps", [q(rate(STARTED))], w, 4),
        panel("stat", "Mean latency", "Mean time of a unary call.", "s",
              [q(f'{rate(server("handling_seconds_sum", UNARY))} / ({rate(server("handling_seconds_count", UNARY))} > 0)')], w, 4, none="no traffic"),
        row("Calls"),
        panel("timeseries", "Rate by method", "Calls started, a second.", "reqps", [q(rate(STARTED, "grpc_service, grpc_method"), "{{grpc_method}}")], stack=True),
        panel("timeseries", "Completed by code", "Calls ended, a second, by gRPC code.", "reqps", [q(rate(HANDLED, "grpc_code"), "{{grpc_code}}")], codes=True, stack=True),
        panel("timeseries", "Fault share by method", "Share of a method's calls that end in a fault; the line is where the alert is.", "percentunit",
              [q(share(FAULTS, HANDLED, "grpc_method"), "{{grpc_method}}")], thresholds=BAD_OVER(0.05), none="no traffic"),
        panel("timeseries", "Caller-error share", "Share of calls refused for the caller's own error; not the service's fault.", "percentunit",
              [q(share(server("handled_total", 'grpc_code!~"(?i)ok"', 'grpc_code!~"$fault"'), HANDLED), "caller errors")], none="no traffic"),
        panel("table", "Methods", "Each method now; a name opens its dashboard.", "none", [
            table(rate(STARTED, "grpc_service, grpc_method"), "A"), table(share(FAULTS, HANDLED, "grpc_service, grpc_method"), "B"),
            table(quantile(0.99, BUCKET, "grpc_service, grpc_method, le"), "C")], 24, 6,
            overrides=[column("grpc_method", ("links", [TO_METHOD])), column("Rate", ("unit", "reqps")),
                       column("Faults", ("unit", "percentunit")), column("p99", ("unit", "s"))],
            transformations=merged(**{"Value #A": "Rate", "Value #B": "Faults", "Value #C": "p99"})),
        row("Latency of unary calls"),
        panel("timeseries", "Latency", "Half, 95 % and 99 % of the calls are faster than these.", "s",
              [q(quantile(x, BUCKET), name) for x, name in ((0.5, "p50"), (0.95, "p95"), (0.99, "p99"))], thresholds=BAD_OVER(0.5), none="no traffic"),
        panel("heatmap", "Latency heatmap", "How many calls took how long.", "short",
              [q(f"sum by (le) (increase({BUCKET}{RATE}))", "{{le}}", format="heatmap")],
              options={"calculate": False, "yAxis": {"unit": "s"}, "cellGap": 1, "color": {"mode": "scheme", "scheme": "Oranges", "steps": 64},
                       "legend": {"show": True}, "tooltip": {"mode": "single", "yHistogram": False}, "rowsFrame": {"layout": "auto"}}),
        panel("bargauge", "Latency distribution", "Quantiles of the time of a call over the whole range.", "s",
              [q(f"histogram_quantile({x}, {ranged(BUCKET, 'le')})", f"{x:.2f}") for x in (0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99)], 24, 6, none="no traffic"),
        row("Shares over the range"),
        panel("piechart", "Codes", "How the calls of the range ended.", "short", [q(ranged(HANDLED, "grpc_code") + " > 0", "{{grpc_code}}")], 8, codes=True, options=pie, none="no traffic"),
        panel("piechart", "Methods of the calls", "Which methods were called in the range.", "short", [q(ranged(STARTED, "grpc_method"), "{{grpc_method}}")], 8, options=pie),
        panel("piechart", "Types of the calls", "Unary calls and streams of the range.", "short", [q(ranged(STARTED, "grpc_type"), "{{grpc_type}}")], 8, options=pie),
        row("Instances"),
        panel("timeseries", "In flight by instance", "Calls started and not ended.", "short", [q(f'sum by (instance) ({server("in_flight")})', "{{instance}}")], 8),
        panel("timeseries", "Imbalance", "Rate of the busiest instance over the mean: 1 is even.", "short",
              [q(f"max({rate(STARTED, 'instance')}) / (avg({rate(STARTED, 'instance')}) > 0)", "busiest over mean")], 8, none="no traffic"),
        panel("timeseries", "Shed calls and panics", "Calls refused as too many were in progress, and handlers that panicked, a second.", "reqps",
              [q(rate('mesh_calls_shed_total{job=~"$job"}'), "shed"), q(rate('mesh_panics_total{job=~"$job"}'), "panics")], 8, thresholds=BAD_OVER(0.1)),
        row("Streams"),
        panel("timeseries", "Stream messages", "Messages of streams sent and received, a second.", "short",
              [q(rate(sent, "grpc_method"), "{{grpc_method}} sent"), q(rate(received, "grpc_method"), "{{grpc_method}} received")], 8, none="no streams"),
        panel("timeseries", "Open streams", "Streams started and not ended.", "short",
              [q(f'sum by (grpc_method) ({server("in_flight", STREAM)})', "{{grpc_method}}")], 8, none="no streams"),
        panel("timeseries", "Stream starts", "Streams started, a second.", "short", [q(rate(server("started_total", STREAM), "grpc_method"), "{{grpc_method}}")], 8, none="no streams"),
    ]
    for item in panels:
        if item["type"] == "timeseries":
            item.update(every)
    return dashboard("mesh-service", "Mesh service", "One service: rate, faults, latency, instances, streams.", panels, [JOB, interval])


def method():
    one = 'grpc_service="$grpc_service",grpc_method="$grpc_method"'
    handled, faults = f"grpc_server_handled_total{{{one}}}", f'grpc_server_handled_total{{{one},grpc_code=~"$fault"}}'
    bucket, calls = f"grpc_server_handling_seconds_bucket{{{one}}}", f"grpc_client_handled_total{{{one}}}"
    return dashboard("mesh-method", "Mesh method", "One method, at its servers and at those who call it.", [
        panel("timeseries", "Rate by instance", "Calls started, a second, at each instance that serves the method.", "reqps",
              [q(rate(f"grpc_server_started_total{{{one}}}", "job, instance"), "{{job}} {{instance}}")], stack=True),
        panel("timeseries", "Completed by code", "Calls ended, a second, by gRPC code.", "reqps", [q(rate(handled, "grpc_code"), "{{grpc_code}}")], codes=True, stack=True),
        panel("timeseries", "Fault share", "Share of the calls that end in a fault; the line is where the alert is.", "percentunit",
              [q(share(faults, handled, "job"), "{{job}}")], thresholds=BAD_OVER(0.05), none="no traffic"),
        panel("timeseries", "Latency", "Half, 95 % and 99 % of the calls are faster than these.", "s",
              [q(quantile(x, bucket), name) for x, name in ((0.5, "p50"), (0.95, "p95"), (0.99, "p99"))], thresholds=BAD_OVER(0.5), none="no traffic"),
        panel("timeseries", "Slower than 250 ms", "Share of the calls that took longer than 250 ms.", "percentunit",
              [q(f'1 - {rate(bucket[:-1] + chr(44) + "le=" + chr(34) + "0.25" + chr(34) + "}")} / ({rate(f"grpc_server_handling_seconds_count{{{one}}}")} > 0)', "slower")], none="no traffic"),
        panel("timeseries", "Callers", "Calls of the method, a second, by the service which calls.", "reqps", [q(rate(calls, "job"), "{{job}}")], stack=True, none="no caller of the mesh"),
        panel("timeseries", "Messages", "Messages sent and received by the servers, a second.", "short",
              [q(rate(f"grpc_server_msg_sent_total{{{one}}}"), "sent"), q(rate(f"grpc_server_msg_received_total{{{one}}}"), "received")]),
        panel("piechart", "Codes over the range", "How the calls of the range ended.", "short",
              [q(f"sum by (grpc_code) (increase({handled}[$__range])) > 0", "{{grpc_code}}")], codes=True, none="no traffic",
              options={"legend": {"displayMode": "table", "placement": "right", "values": ["value", "percent"], "showLegend": True}, "pieType": "donut",
                       "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False}}),
    ], [variable("grpc_service", 'label_values(grpc_server_started_total{grpc_service!~"$noise"}, grpc_service)', "gRPC service", many=False),
        variable("grpc_method", 'label_values(grpc_server_started_total{grpc_service="$grpc_service"}, grpc_method)', "Method", many=False)])


def clients():
    faults = client("handled_total", 'grpc_code=~"$fault"')
    by = "job, grpc_service"
    mean = lambda side, extra: (rate(f"grpc_{side}_handling_seconds_sum{{{extra}}}", "grpc_service") + " / ("  # noqa: E731
                                + rate(f"grpc_{side}_handling_seconds_count{{{extra}}}", "grpc_service") + " > 0)")
    noise = f'grpc_service!~"$noise",{UNARY}'
    legend = "{{job}} to {{grpc_service}}"
    return dashboard("mesh-client", "Mesh client", "What a service calls, as it sees it itself.", [
        panel("timeseries", "Calls out", "Calls started, a second, by the gRPC service called.", "reqps", [q(rate(client("started_total"), by), legend)], stack=True),
        panel("timeseries", "Completed by code", "Calls ended, a second, by the gRPC code that the client saw.", "reqps",
              [q(rate(client("handled_total"), "grpc_code"), "{{grpc_code}}")], codes=True, stack=True),
        panel("timeseries", "Faults by code", "Faults that the client saw, a second: the server's, the network's and its own deadlines.", "reqps",
              [q(rate(faults, "grpc_code"), "{{grpc_code}}")], codes=True),
        panel("timeseries", "Fault share", "Share of the calls out that ended in a fault.", "percentunit",
              [q(share(faults, client("handled_total"), by), legend)], thresholds=BAD_OVER(0.05), none="no traffic"),
        panel("timeseries", "p99 latency", "The slowest 1 % of the unary calls out take this long or longer.", "s",
              [q(quantile(0.99, client("handling_seconds_bucket", UNARY), by + ", le"), legend)], thresholds=BAD_OVER(0.5), none="no traffic"),
        panel("timeseries", "Client minus server latency", "Mean time at all clients less mean time at the servers: network, queues, connecting.", "s",
              [q(f"{mean('client', noise)} - {mean('server', noise)}", "{{grpc_service}}")], low=None, none="no traffic"),
        panel("timeseries", "In flight", "Calls out, started and not ended.", "short", [q(f'sum by ({by}) ({client("in_flight")})', legend)]),
        panel("timeseries", "Messages", "Messages sent and received by the client, a second.", "short",
              [q(rate(client("msg_sent_total"), "grpc_service"), "{{grpc_service}} sent"),
               q(rate(client("msg_received_total"), "grpc_service"), "{{grpc_service}} received")]),
    ], [variable("job", "label_values(grpc_client_started_total, job)", "Client")])


def heartbeats():
    age = "time() - max by (service) (mesh_heartbeat_last_seen_timestamp_seconds)"
    interval = "max by (service) (mesh_heartbeat_expected_interval_seconds)"
    job = 'job=~"$job"'
    return dashboard("mesh-heartbeats", "Mesh heartbeats and tasks", "Who is alive, and what runs on a schedule.", [
        panel("state-timeline", "Alive", "Alive where the last heartbeat is younger than three intervals.", "none",
              [q(f"({age}) < bool on (service) 3 * {interval}", "{{service}}")], 12, 7, thresholds=BAD_UNDER(1), custom={"fillOpacity": 80},
              mappings=[{"type": "value", "options": {"1": {"text": "alive", "index": 0}, "0": {"text": "late", "index": 1}}}],
              options={"showValue": "auto", "legend": {"showLegend": False, "displayMode": "list", "placement": "bottom"}, "mergeValues": True, "rowHeight": 0.8, "tooltip": {"mode": "single"}}),
        panel("bargauge", "Age of the last heartbeat, in intervals", "Over three intervals the alert goes pending.", "short",
              [q(f"({age}) / on (service) {interval}", "{{service}}")], 6, 7, BAD_OVER(3), options={"orientation": "horizontal", "displayMode": "basic"}),
        panel("stat", "Expected every", "How often each service says that it beats.", "s", [q(interval, "{{service}}")], 6, 7),
        panel("timeseries", "Heartbeats received", "Heartbeats a minute, by service.", "cpm", [q("60 * " + rate("mesh_heartbeats_received_total", "service"), "{{service}}")]),
        panel("timeseries", "Task runs by outcome", "Runs of scheduled tasks, a minute, by how they ended.", "cpm",
              [q("60 * " + rate(f"mesh_task_runs_total{{{job}}}", "job, task, outcome"), "{{job}} {{task}} {{outcome}}")]),
        panel("timeseries", "Task duration p95", "The slowest 5 % of the runs take this long or longer.", "s",
              [q(f'histogram_quantile(0.95, sum by (job, task, le) (increase(mesh_task_duration_seconds_bucket{{{job}}}[$__range])))', "{{job}} {{task}}")], none="no runs"),
        panel("table", "Tasks", "The schedule: interval, the last success, the next run.", "s", [
            table(f"max by (job, instance, task) (mesh_task_interval_seconds{{{job}}})", "A"),
            table(f"1000 * max by (job, instance, task) (mesh_task_last_success_timestamp_seconds{{{job}}})", "B"),
            table(f"max by (job, instance, task) (mesh_task_next_run_timestamp_seconds{{{job}}}) - time()", "C")], 12, 8,
            overrides=[column("Last success", ("unit", "dateTimeFromNow"))],
            transformations=merged(**{"Value #A": "Interval", "Value #B": "Last success", "Value #C": "Next run in"})),
    ], [variable("job", "label_values(mesh_task_interval_seconds, job)", "Service")])


def runtime():
    job, legend = 'job=~"$job"', "{{job}} {{instance}}"
    return dashboard("mesh-runtime", "Mesh runtime", "The processes: CPU, memory, descriptors, Tokio, scrapes, versions.", [
        panel("timeseries", "CPU", "Cores in use.", "short", [q(rate(f"process_cpu_seconds_total{{{job}}}", "job, instance"), legend)], 8),
        panel("timeseries", "Resident memory", "Memory that the process holds.", "bytes", [q(f"process_resident_memory_bytes{{{job}}}", legend)], 8),
        panel("timeseries", "Virtual memory", "Address space of the process.", "bytes", [q(f"process_virtual_memory_bytes{{{job}}}", legend)], 8),
        panel("timeseries", "Descriptors in use", "Share of the open-files limit that is taken.", "percentunit",
              [q(f"process_open_fds{{{job}}} / process_max_fds{{{job}}}", legend)], 8, thresholds=BAD_OVER(0.8)),
        panel("timeseries", "Threads", "Threads of the operating system.", "short", [q(f"process_threads{{{job}}}", legend)], 8),
        panel("stat", "Restarts in an hour", "How often a process began anew.", "none", [q(f"sum by (job) (changes(process_start_time_seconds{{{job}}}[1h]))", "{{job}}")], 8, thresholds=BAD_OVER(1)),
        panel("timeseries", "Tokio busy share", "Share of the workers' time spent on tasks.", "percentunit",
              [q(f'{rate(f"tokio_workers_busy_seconds_total{{{job}}}", "job, instance")} / sum by (job, instance) (tokio_workers{{{job}}})', legend),
               q(f"tokio_workers_busy_ratio{{{job}}}", legend + " at the last scrape")], 8, thresholds=BAD_OVER(0.9)),
        panel("timeseries", "Tokio tasks", "Tasks alive, and tasks that wait in the shared queue.", "short",
              [q(f"tokio_alive_tasks{{{job}}}", legend + " alive"), q(f"tokio_global_queue_depth{{{job}}}", legend + " queued")], 8),
        panel("timeseries", "Tokio parks", "How often a second a worker found nothing to do.", "short", [q(rate(f"tokio_worker_parks_total{{{job}}}", "job, instance"), legend)], 8),
        panel("timeseries", "gRPC connections open", "Connections that clients hold to the gRPC port.", "short", [q(f"grpc_server_connections{{{job}}}", legend)], 8),
        panel("timeseries", "gRPC connections opened and closed", "Connections that clients made and ended, a second.", "short",
              [q(rate(f"grpc_server_connections_opened_total{{{job}}}", "job, instance"), legend + " opened"),
               q(rate(f"grpc_server_connections_closed_total{{{job}}}", "job, instance"), legend + " closed")], 8),
        panel("timeseries", "Series per target", "Samples on a scrape page.", "short", [q(f"scrape_samples_post_metric_relabeling{{{job}}}", legend)], 8),
        panel("timeseries", "Scrape duration", "Time that Prometheus waits for a page.", "s", [q(f"scrape_duration_seconds{{{job}}}", legend)], 8),
        panel("table", "Versions", "What runs: instances by version and revision.", "none", [table(f"count by (job, version, revision) (mesh_build_info{{{job}}})", "A")], 8,
              transformations=merged(Value="Instances", job="Service", version="Version", revision="Revision")),
    ], [variable("job", "label_values(process_start_time_seconds, job)", "Service")])


def slo():
    job = '{job=~"$job"}'
    budget = f"on (job) (1 - job:slo_objective:ratio{job})"
    left = f"1 - job:slo_errors:ratio_rate3d{job} / {budget}"
    whole, bad = f"sum by (job) (increase({HANDLED}[$__range]))", f"sum by (job) (increase({FAULTS}[$__range]))"
    return dashboard("mesh-slo", "Mesh SLO", "Objectives: 99 % of calls without fault; how fast the budget goes.", [
        panel("stat", "Availability over the range", "Share of the calls that did not end in a fault.", "percentunit",
              [q(f"1 - ({bad} or 0 * {whole}) / ({whole} > 0)", "{{job}}")], 8, 6, BAD_UNDER(0.99), none="no traffic"),
        panel("gauge", "Error budget left", "What is left of the faults that three days may have.", "percentunit", [q(left, "{{job}}")], 8, 6,
              steps((None, RED), (0.0, YELLOW), (0.25, GREEN)), none="no traffic"),
        panel("stat", "Hours until the budget is gone", "At the speed of the last hour; absent where nothing burns.", "h",
              [q(f"clamp_min({left}, 0) * 72 / (job:slo_errors:ratio_rate1h{job} / {budget} > 0)", "{{job}}")], 8, 6, none="nothing burns"),
        panel("timeseries", "Burn rate", "Speed at which the budget goes: 1 uses it up exactly; 14.4 over 5 m and 1 h pages.", "short",
              [q(f"job:slo_errors:ratio_rate{w}{job} / {budget}", "{{job}} " + w) for w in ("5m", "1h", "6h")], thresholds=BAD_OVER(14.4), none="no traffic"),
        panel("timeseries", "Slow burn rate", "The same over the long windows; over 3 (2 h and 1 d) or 1 (6 h and 3 d) a ticket is written.", "short",
              [q(f"job:slo_errors:ratio_rate{w}{job} / {budget}", "{{job}} " + w) for w in ("30m", "2h", "1d", "3d")], thresholds=BAD_OVER(3), none="no traffic"),
        panel("timeseries", "Calls under 250 ms", "Latency objective: share of unary calls that end within 250 ms.", "percentunit",
              [q(f'{rate(server("handling_seconds_bucket", UNARY, chr(108) + "e=" + chr(34) + "0.25" + chr(34)), "job")} / ({rate(server("handling_seconds_count", UNARY), "job")} > 0)', "{{job}}")], none="no traffic"),
        panel("timeseries", "Faults", "Faults a second, by service and code.", "reqps", [q(rate(FAULTS, "job, grpc_code"), "{{job}} {{grpc_code}}")]),
    ], [JOBS])


def main():
    stale = []
    for made in (overview(), service(), method(), clients(), heartbeats(), runtime(), slo()):
        path, text = OUT / f"{made['uid']}.json", json.dumps(made, indent=2, ensure_ascii=False) + "\n"
        if "--check" in sys.argv[1:]:
            if not path.exists() or path.read_text() != text:
                stale.append(path.name)
        else:
            path.write_text(text)
    if stale:
        sys.exit(f"not what grafana/generate.py makes: {', '.join(stale)}")


if __name__ == "__main__":
    main()
