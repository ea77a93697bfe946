"""Building blocks of the dashboards: panels, their targets, columns, variables, the dashboard itself."""

import os

from queries import BELOW, FAULT, NOISE, OLD

SCHEMA = 42
# The folder of the alerts' pages; a link appends `/<alert>.md`.
RUNBOOKS = os.environ.get("RUNBOOKS_URL", "https://github.com/vitalmesh/vitalmesh/blob/main/docs/runbooks")
SOURCE = {"type": "prometheus", "uid": "$datasource"}

GREEN, BLUE, YELLOW, ORANGE, RED, GREY = "#37872D", "#1F60C4", "#E0B400", "#FF780A", "#C4162A", "#8E8E8E"
# The colour is the kind of result, the shade the code.
CODES = [
    ("ok", GREEN),
    ("cancell?ed", GREY),
    ("invalid_?argument", BLUE), ("not_?found", "#5794F2"), ("already_?exists", "#8AB8FF"),
    ("permission_?denied", "#3274D9"), ("out_?of_?range", "#C0D8FF"), ("unauthenticated", "#33A2E5"),
    ("failed_?precondition", YELLOW), ("aborted", "#FADE2A"),
    ("resource_?exhausted", ORANGE),
    ("internal", RED), ("unavailable", "#F2495C"), ("deadline_?exceeded", "#FF7383"),
    ("unknown", "#99434F"), ("unimplemented", "#FFA6B0"), ("data_?loss", "#E0226E"),
]
# The first pattern covers a class of statuses; later ones override single statuses.
STATUSES = [
    ("2..", GREEN), ("201", "#73BF69"),
    ("3..", GREY),
    ("4..", BLUE), ("401", "#33A2E5"), ("403", "#3274D9"), ("404", "#5794F2"), ("409", "#8AB8FF"), ("429", ORANGE),
    ("499", GREY),
    ("5..", RED), ("501", "#FFA6B0"), ("503", "#F2495C"), ("504", "#FF7383"),
]
OUTCOMES = [("success", GREEN), ("skipped", YELLOW), ("error", RED)]
QUANTILES = [("p50", GREEN), ("p95", YELLOW), ("p99", ORANGE)]
P50_95_99 = [(0.5, "p50"), (0.95, "p95"), (0.99, "p99")]

# Bounds of first buckets, in seconds: calls, older calls and REST, tasks, other libraries, start delays.
FLOORS = {1e-5: "< 10 µs", 1e-4: "< 100 µs", 1e-3: "< 1 ms", 5e-3: "< 5 ms", 1e-2: "< 10 ms"}

# Panels coloured by threshold. Lines are coloured by name instead, the same on every panel.
JUDGED = ("stat", "gauge", "bargauge", "table", "state-timeline")
SINGLE = ("stat", "gauge", "bargauge", "piechart")


def q(expr, legend="__auto", **more):
    return {"expr": expr, "legendFormat": legend, **more}


def table(expr, ref):
    return {"expr": expr, "format": "table", "instant": True, "range": False, "refId": ref}


def steps(*pairs):
    return {"mode": "absolute", "steps": [{"color": c, "value": v} for v, c in pairs]}


def bad_over(limit):
    return steps((None, GREEN), (limit, RED))


def bad_under(limit):
    return steps((None, RED), (limit, GREEN))


def coloured(pairs):
    """Overrides that give a fixed colour to names that match, or end in a match; patterns are JavaScript's."""
    return [{"matcher": {"id": "byRegexp", "options": f"/(^| )({pattern})$/i"},
             "properties": [{"id": "color", "value": {"mode": "fixed", "fixedColor": colour}}]}
            for pattern, colour in pairs]


def column(name, *properties):
    return {"matcher": {"id": "byName", "options": name}, "properties": [{"id": i, "value": v} for i, v in properties]}


def judged(name, unit, thresholds):
    return column(name, ("unit", unit), ("thresholds", thresholds), ("custom.cellOptions", {"type": "color-text"}))


def sized(name, unit):
    return column(name, ("unit", unit))


def floors():
    """Mappings of a quantile in the first bucket to words. `nth` returns it as a little less than the bound."""
    return [{"type": "range", "options": {"from": bound * (2 * BELOW - 1), "to": bound * (1 + BELOW) / 2,
                                          "result": {"text": text, "index": at}}}
            for at, (bound, text) in enumerate(FLOORS.items())]


def took(name, limit=None):
    """A column of latencies."""
    properties = [("unit", "s"), ("mappings", floors())]
    if limit:
        properties += [("thresholds", bad_over(limit)), ("custom.cellOptions", {"type": "color-text"})]
    return column(name, *properties)


def widths(rest, least, **fixed):
    """Every column has a fixed width, but for `rest`, which takes what is left. Grafana divides what is left evenly, so
    that with two such columns a narrow one would take room from a wide one.
    """
    return [column(rest, ("custom.minWidth", least)),
            *(column(name.replace("_", " "), ("custom.width", pixels)) for name, pixels in fixed.items())]


def merged(columns, hidden=()):
    """Joins all targets into one row per series. `columns` renames and orders fields, `hidden` removes others."""
    return [{"id": "merge", "options": {}},
            {"id": "organize", "options": {"excludeByName": dict.fromkeys(("Time", *hidden), True),
                                           "indexByName": {name: n for n, name in enumerate(columns)},
                                           "renameByName": columns}}]


# Shortens `vitalmesh.time.v1.TimeService` to `time.v1` in a legend.
LONG = r"(?:\w+[.])*?(\w+[.]v\d+)[.]\w+"
SHORT = [{"id": "renameByRegex", "options": {"regex": f"/{LONG}/", "renamePattern": "$1"}}]
# The same in the cells of a column. A link from another column would get the short name too.
SHORT_CELLS = [{"type": "regex", "options": {"pattern": f"^{LONG}$", "result": {"text": "$1", "index": 0}}}]


def sorted_by(name, desc=False):
    return {"sortBy": [{"displayName": name, "desc": desc}]}


# A line far above the others leaves them readable. Linear up to 0.1, so that 0 has a place.
LOG = {"scaleDistribution": {"type": "symlog", "log": 10, "linearThreshold": 0.1}}
LOG_SECONDS = {"scaleDistribution": {"type": "symlog", "log": 10, "linearThreshold": 0.0001}}


def timeseries_defaults(stack, thresholds, low, high):
    custom = {"lineWidth": 1, "fillOpacity": 30 if stack else 5, "showPoints": "auto",
              "stacking": {"mode": "normal" if stack else "none", "group": "A"},
              "thresholdsStyle": {"mode": "line" if thresholds else "off"}}
    if high is not None:
        custom["axisSoftMax"] = high
    return {"custom": custom, **({} if low is None else {"min": low})}


def panel(kind, title, description, unit, targets, w=12, h=8, thresholds=None, colours=None, stack=False,
          options=None, overrides=(), none=None, low=0, high=None, defaults=(), custom=(), **more):
    """`none` is the text without data, `low` the start of the axis, `high` the least value that it reaches."""
    made = {"unit": unit, "color": {"mode": "thresholds" if kind in JUDGED else "palette-classic-by-name"},
            "thresholds": thresholds or steps((None, GREEN)), **dict(defaults)}
    if unit == "s":
        made["mappings"] = [*made.get("mappings", []), *floors()]
    if none:
        made["noValue"] = none
    if kind == "timeseries":
        made |= timeseries_defaults(stack, thresholds, low, high)
        made["custom"] |= dict(custom)
        options = options or {"legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
                              "tooltip": {"mode": "multi", "sort": "desc"}}
    if kind in SINGLE:
        options = {"reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False}, **(options or {})}
        targets = [{"instant": True, "range": False, **target} for target in targets]
    if kind == "stat" and any("{{" in target["legendFormat"] for target in targets):
        # Grafana omits the name of a single value.
        options["textMode"] = "value_and_name"
    targets = [{"refId": "ABCDEFGHIJKL"[n], "datasource": SOURCE, "editorMode": "code", **target}
               for n, target in enumerate(targets)]
    return {"type": kind, "title": title, "description": description, "datasource": SOURCE, "targets": targets,
            "gridPos": {"w": w, "h": h},
            "fieldConfig": {"defaults": made, "overrides": [*overrides, *coloured(colours or [])]},
            "options": options or {}, **more}


def pie(title, description, targets, none, colours=None, w=8, **more):
    legend = {"displayMode": "table", "placement": "right", "values": ["value", "percent"], "showLegend": True}
    return panel("piechart", title, description, "short", targets, w, colours=colours, none=none,
                 options={"legend": legend, "pieType": "donut"}, **more)


def row(title, hidden=()):
    """A row. It is collapsed if it has `hidden` panels, which it shows when opened."""
    return {"type": "row", "title": title, "collapsed": bool(hidden), "panels": list(hidden),
            "gridPos": {"w": 24, "h": 1}}


def put(panels, floor):
    """Puts each panel into the first free spot below `floor`, from the top and left to right."""
    for item in panels:
        grid = item["gridPos"]
        w, h = grid["w"], grid["h"]
        if item["type"] == "row":
            y, x = max(floor), 0
        else:
            y, x = min((max(floor[at:at + w]), at) for at in range(24 - w + 1))
        grid.update(x=x, y=y)
        floor[x:x + w] = [y + h] * w
        if item["type"] == "row":
            put(item["panels"], [y + h] * 24)


def place(panels):
    """Lays out the panels and numbers them in their order."""
    put(panels, [0] * 24)
    for number, item in enumerate((one for top in panels for one in (top, *top.get("panels", ()))), 1):
        item["id"] = number
    return panels


def states(words):
    """Mappings of values to a word, or to a word and its colour."""
    def shown(at, word):
        text, *colour = (word,) if isinstance(word, str) else word
        return {"text": text, "index": at, **({"color": colour[0]} if colour else {})}

    return [{"type": "value", "options": {value: shown(at, words[value]) for at, value in enumerate(words)}}]


def timeline(title, description, targets, w, h, words):
    options = {"showValue": "auto", "legend": {"showLegend": False, "displayMode": "list", "placement": "bottom"},
               "mergeValues": True, "rowHeight": 0.8, "tooltip": {"mode": "single"}}
    return panel("state-timeline", title, description, "none", targets, w, h, bad_under(1), options=options,
                 defaults={"custom": {"fillOpacity": 80}, "mappings": states(words)})


def variable(name, query, label, many=True, first=None):
    """`first` is the default if it exists, else the first value."""
    made = {"name": name, "type": "query", "label": label, "datasource": SOURCE, "definition": query, "refresh": 2,
            "query": {"qryType": 1, "query": query, "refId": "PrometheusVariableQueryEditor-VariableQuery"},
            "sort": 1, "multi": many, "includeAll": many, "options": [], "hide": 0, "regex": "", "current": {}}
    if first:
        made["current"] = {"text": first, "value": first}
    if many:
        made |= {"allValue": ".*", "current": {"text": "All", "value": "$__all"}}
    return made


def counted(name, expr):
    """A hidden variable with the value of an expression without labels."""
    query = f"query_result({expr})"
    return {**variable(name, query, "", many=False), "hide": 2, "regex": r"/\{\} (\d+)/"}


def constant(name, value):
    chosen = {"text": value, "value": value}
    return {"name": name, "type": "constant", "query": value, "hide": 2, "skipUrlSync": True,
            "current": chosen, "options": [{**chosen, "selected": True}]}


def annotation(name, expr, colour, title):
    return {"name": name, "enable": True, "hide": False, "iconColor": colour, "datasource": SOURCE,
            "target": {"expr": expr, "refId": "Anno", "interval": "15s"}, "titleFormat": title}


def dashboard(uid, title, description, panels, variables=()):
    source = {"name": "datasource", "type": "datasource", "label": "Data source", "query": "prometheus", "hide": 0,
              "current": {"text": "Prometheus", "value": "mesh-prometheus"}, "options": [], "refresh": 1, "regex": "",
              "multi": False, "includeAll": False}
    links = {"type": "dashboards", "title": "Mesh", "tags": ["mesh"], "asDropdown": True, "keepTime": True,
             "includeVars": True, "icon": "external link", "targetBlank": False, "tooltip": "", "url": ""}
    constants = [constant("noise", NOISE), constant("fault", FAULT), constant("old", OLD),
                 constant("runbooks", RUNBOOKS)]
    return {
        "uid": uid, "title": title, "description": description, "tags": ["mesh"], "schemaVersion": SCHEMA,
        "version": 1, "editable": False, "graphTooltip": 1, "refresh": "10s", "timezone": "",
        "time": {"from": "now-15m", "to": "now"}, "links": [links],
        "templating": {"list": [source, *variables, *constants]},
        "annotations": {"list": [
            annotation("Alerts", 'ALERTS{alertname=~"Mesh.*",alertstate="firing"}', RED, "{{alertname}} {{job}}"),
            annotation("Restarts", "changes(process_start_time_seconds[1m]) > 0", BLUE, "{{job}} restarted")]},
        "panels": place(panels),
    }


JOBS = variable("job", "label_values(grpc_server_started_total, job)", "Service")
ONE_JOB = variable("job", "label_values(grpc_server_started_total, job)", "Service", many=False, first="edge")
KEPT = "var-datasource=${datasource}&${__url_time_range}"
TO_SERVICE = {"title": "Open the service", "url": f"/d/mesh-service?var-job=${{__value.text}}&{KEPT}"}
TO_RUNBOOK = {"title": "Open the runbook", "url": "${runbooks}/${__value.text}.md", "targetBlank": True}
TO_METHOD = {"title": "Open the method", "url": "/d/mesh-method?var-grpc_service=${__data.fields.grpc_service}"
             f"&var-grpc_method=${{__data.fields.grpc_method}}&{KEPT}"}
