"""One service: the panels of the older dashboard first, then calls, REST, latency, shares, instances, streams."""

from parts import (CODES, LOG_SECONDS, ONE_JOB, P50_95_99, QUANTILES, RED, SHORT, STATUSES, TO_METHOD, bad_over,
                   bad_under, column, counted, dashboard, judged, merged, panel, pie, q, row, sized, sorted_by, table,
                   took, widths)
from queries import (BUCKET, FAULTS, HANDLED, RANGE, RATE, REST, REST_BUCKET, REST_FAULTS, STARTED, STREAM, UNARY, UP,
                     in_flight, increase, mean, of_job, quantile, rate, rest, server, share)

STREAMS_ONLY = server("started_total", STREAM)
BY_METHOD, METHOD = "grpc_service, grpc_method", "{{grpc_service}}/{{grpc_method}}"
BY_ROUTE, ROUTE = "method, route", "{{method}} {{route}}"
NO_UNARY, NO_CALLS, NO_REST = "no unary calls", "no calls", "no REST requests"
BUSIEST_FIRST = {"legend": {"displayMode": "table", "placement": "bottom", "showLegend": True, "calcs": ["lastNotNull"],
                            "sortBy": "Last *", "sortDesc": True},
                 "tooltip": {"mode": "multi", "sort": "desc"}}


def now():
    def stat(title, description, unit, expr, thresholds=None, none=None):
        return panel("stat", title, description, unit, [q(expr)], 3, 4, thresholds, none=none)

    unary = 'job=~"$job",grpc_service!~"$noise",' + UNARY
    return [
        row("Now"),
        stat("Up", "Instances of this service that Prometheus can scrape.", "none", f"sum({UP})", bad_under(1)),
        stat("Calls without fault", "Share of gRPC calls that did not end in a fault.", "percentunit",
             "1 - " + share(FAULTS, HANDLED), bad_under(0.99), NO_CALLS),
        stat("Request rate", "gRPC calls started per second.", "reqps", rate(STARTED)),
        stat("Mean latency", "Mean latency of unary calls.", "s", mean("grpc_server_handling_seconds", unary),
             none=NO_UNARY),
        stat("p99 latency", "99 % of unary calls are faster than this.", "s", quantile(0.99, BUCKET),
             bad_over(0.5), NO_UNARY),
        stat("In progress", "gRPC calls started and not completed, including streams.", "none", in_flight(server)),
        stat("REST rate", "REST requests completed per second.", "reqps", rate(REST), none=NO_REST),
        stat("REST without fault", "Share of REST requests that did not end in a status 5xx.", "percentunit",
             "1 - " + share(REST_FAULTS, REST), bad_under(0.99), NO_REST),
    ]


def calls():
    refused = server("handled_total", 'grpc_code!~"(?i)ok"', 'grpc_code!~"$fault"')
    columns = {"grpc_method": "Method", "grpc_service": "gRPC service", "grpc_type": "Type", "Value #A": "Rate",
               "Value #B": "Faults", "Value #C": "p50", "Value #D": "p99"}
    return [
        row("Calls"),
        panel("timeseries", "Rate by method", "Calls started per second, the busiest method first.", "reqps",
              [q(rate(STARTED, BY_METHOD), METHOD)], stack=True, options=BUSIEST_FIRST, transformations=SHORT),
        panel("timeseries", "Completed by code", "Calls completed per second, by gRPC code.", "reqps",
              [q(rate(HANDLED, "grpc_code") + " > 0", "{{grpc_code}}")], colours=CODES, stack=True, none=NO_CALLS),
        panel("timeseries", "Fault share by method", "Share of a method's calls that end in a fault; its alert fires "
              "after five minutes over the line.", "percentunit",
              [q(share(FAULTS, HANDLED, BY_METHOD), METHOD)], thresholds=bad_over(0.05), none=NO_CALLS, high=0.06,
              transformations=SHORT),
        panel("timeseries", "Caller-error share", "Share of calls that fail by an error of the caller, which is no "
              "fault of the service.", "percentunit", [q(share(refused, HANDLED), "caller errors")],
              none=NO_CALLS, high=0.06),
        panel("table", "Methods", "Each method now, the busiest first; a name opens its dashboard.", "none",
              [table(rate(STARTED, BY_METHOD + ", grpc_type"), "A"),
               table(share(FAULTS, HANDLED, BY_METHOD + ", grpc_type"), "B"),
               table(quantile(0.5, BUCKET, BY_METHOD + ", grpc_type, le"), "C"),
               table(quantile(0.99, BUCKET, BY_METHOD + ", grpc_type, le"), "D")], 24, 8,
              overrides=[column("Method", ("links", [TO_METHOD])), sized("Rate", "reqps"),
                         judged("Faults", "percentunit", bad_over(0.05)), took("p50"), took("p99", 0.5),
                         *widths("gRPC service", 140, Method=150, Type=110, Rate=99,
                                 Faults=65, p50=75, p99=75)],
              transformations=merged(columns), options=sorted_by("Rate", desc=True)),
    ]


def routes():
    columns = {"route": "Route", "method": "Method", "Value #A": "Rate", "Value #B": "Faults",
               "Value #C": "Caller errors", "Value #D": "p50", "Value #E": "p99"}
    refused = rest('status=~"4.."')
    return panel(
        "table", "Routes", "Each REST route now, the busiest first.", "none",
        [table(rate(REST, BY_ROUTE), "A"), table(share(REST_FAULTS, REST, BY_ROUTE), "B"),
         table(share(refused, REST, BY_ROUTE), "C"), table(quantile(0.5, REST_BUCKET, BY_ROUTE + ", le"), "D"),
         table(quantile(0.99, REST_BUCKET, BY_ROUTE + ", le"), "E")], 24, 7, none="no REST routes",
        overrides=[sized("Rate", "reqps"), judged("Faults", "percentunit", bad_over(0.05)),
                   sized("Caller errors", "percentunit"), took("p50"), took("p99"),
                   *widths("Route", 190, Method=80, Rate=99, Faults=65, Caller_errors=112, p50=75, p99=75)],
        transformations=merged(columns), options=sorted_by("Rate", desc=True))


def rest_requests():
    return [
        row("REST"),
        panel("timeseries", "REST requests by route", "REST requests completed per second, the busiest route first.",
              "reqps", [q(rate(REST, BY_ROUTE) + " > 0", ROUTE)], stack=True, options=BUSIEST_FIRST, none=NO_REST),
        panel("timeseries", "REST requests by status", "REST requests completed per second, by status.", "reqps",
              [q(rate(REST, "status") + " > 0", "{{status}}")], colours=STATUSES, stack=True, none=NO_REST),
        panel("timeseries", "REST fault share by route", "Share of a route's requests that end in a status 5xx; its "
              "alert fires after five minutes over the line.", "percentunit",
              [q(share(REST_FAULTS, REST, BY_ROUTE), ROUTE)], thresholds=bad_over(0.05), none=NO_REST, high=0.06),
        panel("timeseries", "REST latency", "99 % of a route's requests are faster than this, to the end of the "
              "response; the scale is logarithmic.", "s",
              [q(quantile(0.99, REST_BUCKET, BY_ROUTE + ", le"), ROUTE, exemplar=True)], none=NO_REST,
              custom=LOG_SECONDS),
        routes(),
    ]


def latency():
    heat = {"calculate": False, "yAxis": {"unit": "s"}, "cellGap": 1, "showValue": "never",
            "color": {"mode": "scheme", "scheme": "Oranges", "steps": 64},
            "exemplars": {"color": "rgba(255,0,255,0.7)"},
            "legend": {"show": True}, "tooltip": {"mode": "single", "yHistogram": False},
            "rowsFrame": {"layout": "auto"}}
    return [
        row("Latency of unary calls"),
        panel("timeseries", "Latency", "Half, 95 % and 99 % of the calls are faster than these; the alert fires after "
              "ten minutes of p99 over the line.", "s",
              [q(quantile(x, BUCKET), name, exemplar=x == 0.99) for x, name in P50_95_99],
              thresholds=bad_over(0.5), colours=QUANTILES, none=NO_UNARY),
        panel("heatmap", "Latency heatmap", "Number of calls by latency.", "short",
              [q(f"sum by (le) (increase({BUCKET}{RATE}))", "{{le}}", format="heatmap", exemplar=True)],
              options=heat, none=NO_UNARY),
        panel("bargauge", "Latency distribution", "Quantiles of the latency over the whole time range.", "s",
              [q(quantile(x, BUCKET, window=RANGE), f"{x:.2f}")
               for x in (0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99)], 24, 7, bad_over(0.5), none=NO_UNARY,
              options={"orientation": "horizontal", "displayMode": "basic"}),
    ]


def shares():
    return [
        row("Shares over the range"),
        pie("Codes", "Results of the calls in the time range.",
            [q(increase(HANDLED, "grpc_code") + " > 0", "{{grpc_code}}")], NO_CALLS, CODES),
        pie("Methods called", "Calls in the time range, by method.",
            [q(increase(STARTED, BY_METHOD) + " > 0", METHOD)], NO_CALLS, transformations=SHORT),
        pie("Call types", "Unary calls and streams in the time range.",
            [q(increase(STARTED, "grpc_type") + " > 0", "{{grpc_type}}")], NO_CALLS),
    ]


def instances():
    busy = rate(STARTED, "instance")
    waiting = in_flight(server, "instance", UNARY)
    # Hidden while it is far above the calls, or it would flatten their lines.
    limit = f"5 + 10 * {rate(server('handled_total', UNARY), 'instance')} < 10 * ({waiting})"
    dashed = {"matcher": {"id": "byRegexp", "options": "/ limit$/"}, "properties": [
        {"id": "color", "value": {"mode": "fixed", "fixedColor": RED}},
        {"id": "custom.lineStyle", "value": {"fill": "dash", "dash": [8, 8]}}]}
    return [
        row("Instances"),
        panel("timeseries", "In progress by instance", "Unary calls started and not completed; the alert fires after "
              "five minutes over the dashed line, which appears only when it is near.", "short",
              [q(waiting, "{{instance}}"), q(limit, "{{instance}} limit")], 8,
              overrides=[dashed]),
        panel("timeseries", "Imbalance", "Rate of the busiest instance divided by the mean: 1 is even.", "short",
              [q(f"max({busy}) / (avg({busy}) > 0)", "busiest over mean")], 8, none=NO_CALLS, high=2),
        panel("timeseries", "Shed calls and panics", "Calls rejected because too many were in progress, handlers that "
              "panicked, and requests on the gRPC port that were no gRPC calls, by the reason, per second.", "reqps",
              [q(rate(of_job("mesh_calls_shed_total")), "shed"), q(rate(of_job("mesh_panics_total")), "panics"),
               q(rate(of_job("mesh_requests_rejected_total"), "reason"), "no call: {{reason}}")], 8),
    ]


def streams():
    sent, received = (rate(server(f"msg_{verb}_total", STREAM), BY_METHOD) for verb in ("sent", "received"))
    started, opened = rate(STREAMS_ONLY, BY_METHOD), in_flight(server, BY_METHOD, STREAM)

    def lines(title, description, unit, targets, none="no streaming methods"):
        return panel("timeseries", title, description, unit, targets, 6, 7, none=none, transformations=SHORT)

    return row("Streaming methods: $streams", [
        lines("Streams opened", "Streams started per second.", "reqps", [q(started, METHOD)]),
        lines("Streams open", "Streams started and not completed.", "short", [q(opened, METHOD)]),
        lines("Stream messages", "Messages per second sent and received on streams.", "short",
              [q(sent, METHOD + " sent"), q(received, METHOD + " received")]),
        lines("Messages per stream", "Messages sent per stream started.", "short",
              [q(f"{sent} / ({started} > 0)", METHOD)], "no streams"),
    ])


def board():
    choices = ("5s", "30s", "1m", "5m", "15m")
    interval = {"name": "interval", "type": "interval", "label": "Interval", "query": ",".join(choices), "auto": False,
                "auto_count": 30, "auto_min": "5s", "refresh": 2, "hide": 0, "current": {"text": "5s", "value": "5s"},
                "options": [{"text": one, "value": one, "selected": one == "5s"} for one in choices]}
    hidden = streams()
    streaming = counted("streams", f"count(group by ({BY_METHOD}) ({STREAMS_ONLY})) or vector(0)")
    panels = [*now(), *calls(), *rest_requests(), *latency(), *shares(), *instances(), hidden]
    for item in [*panels, *hidden["panels"]]:
        if item["type"] in ("timeseries", "heatmap"):
            item["interval"] = "$interval"
    return dashboard("mesh-service", "Mesh service", "One service: calls, REST, latency, instances, streams.", panels,
                     [ONE_JOB, interval, streaming])
