"""The dashboards in Grafana's second schema (`dashboard.grafana.app/v2`), for a check by its types.

Grafana 13 reads the JSON of this repository and stores it in that schema. The conversion is in its server, and its
packages have only the types; this is what it does to the parts that the dashboards have. An unknown part is an error.
"""

HIDDEN = {0: "dontHide", 1: "hideLabel", 2: "hideVariable"}
REFRESHED = {0: "never", 1: "onDashboardLoad", 2: "onTimeRangeChanged"}
SORTED = {0: "disabled", 1: "alphabeticalAsc"}
CURSOR = {0: "Off", 1: "Crosshair", 2: "Tooltip"}
# Parts that the schema no longer has: the id and version of the file, and the editor's state.
DROPPED = {"uid", "version", "schemaVersion", "type", "gridPos", "datasource"}


def taken(source, *names):
    """These parts of `source`, after a check that it has no others."""
    unknown = source.keys() - {*names} - DROPPED
    if unknown:
        raise ValueError(f"no place for {sorted(unknown)} in {source.get('title') or source.get('name')}")
    return [source.get(name) for name in names]


def query(spec):
    return {"kind": "DataQuery", "group": "prometheus", "version": "v0", "datasource": {"name": "$datasource"},
            "spec": {name: value for name, value in spec.items() if name not in ("datasource", "refId")}}


def panel(one):
    number, title, description, targets, field, options, changes, interval = taken(
        one, "id", "title", "description", "targets", "fieldConfig", "options", "transformations", "interval")
    queries = [{"kind": "PanelQuery", "spec": {"query": query(target), "refId": target["refId"], "hidden": False}}
               for target in targets]
    changes = [{"kind": "Transformation", "group": change["id"], "spec": {"options": change["options"]}}
               for change in changes or []]
    group = {"queries": queries, "transformations": changes,
             "queryOptions": {"interval": interval} if interval else {}}
    shown = {"kind": "VizConfig", "group": one["type"], "version": "13.1.0",
             "spec": {"options": options, "fieldConfig": field}}
    return {"kind": "Panel", "spec": {"id": number, "title": title, "description": description, "links": [],
                                      "data": {"kind": "QueryGroup", "spec": group}, "vizConfig": shown}}


def grid(panels, top):
    """A grid of panels, whose rows count from `top`."""
    def item(one):
        at = one["gridPos"]
        return {"kind": "GridLayoutItem", "spec": {
            "x": at["x"], "y": at["y"] - top, "width": at["w"], "height": at["h"],
            "element": {"kind": "ElementReference", "name": f"panel-{one['id']}"}}}

    return {"kind": "GridLayout", "spec": {"items": [item(one) for one in panels]}}


def layout(panels):
    """A grid, or rows of grids: a row has the panels after it, or those that it hides."""
    rows = []
    for one in panels:
        if one["type"] == "row":
            taken(one, "id", "title", "collapsed", "panels")
            rows.append((one, list(one["panels"])))
        elif rows:
            rows[-1][1].append(one)
    if not rows:
        return grid(panels, 0)
    if panels[0]["type"] != "row":
        raise ValueError("panels before the first row")
    return {"kind": "RowsLayout", "spec": {"rows": [
        {"kind": "RowsLayoutRow", "spec": {"title": row["title"], "collapse": row["collapsed"],
                                           "layout": grid(inside, row["gridPos"]["y"] + 1)}}
        for row, inside in rows]}}


def variable(one):
    kind = {"query": "Query", "datasource": "Datasource", "interval": "Interval", "constant": "Constant"}[one["type"]]
    common = {"name": one["name"], "hide": HIDDEN[one["hide"]], "skipUrlSync": one.get("skipUrlSync", False),
              "current": one["current"] or {"text": "", "value": ""}}
    if one.get("label"):
        common["label"] = one["label"]
    many = {name: one[name] for name in ("options", "multi", "includeAll", "allValue", "regex") if name in one}
    if kind == "Query":
        asked = {"definition": one["definition"], "refresh": REFRESHED[one["refresh"]], "sort": SORTED[one["sort"]]}
        made = {**many, **asked, "query": query(one["query"]), "allowCustomValue": True}
    elif kind == "Datasource":
        made = {**many, "pluginId": one["query"], "refresh": REFRESHED[one["refresh"]], "allowCustomValue": True}
    elif kind == "Interval":
        made = {name: one[name] for name in ("query", "options", "auto", "auto_min", "auto_count")}
        made["refresh"] = REFRESHED[one["refresh"]]
    else:
        made = {"query": one["query"]}
    return {"kind": f"{kind}Variable", "spec": {**common, **made}}


def annotation(one):
    name, enable, hide, colour, target, title = taken(
        one, "name", "enable", "hide", "iconColor", "target", "titleFormat")
    return {"kind": "AnnotationQuery", "spec": {"name": name, "enable": enable, "hide": hide, "iconColor": colour,
                                                "query": query(target), "legacyOptions": {"titleFormat": title}}}


def spec(board):
    """The `spec` of a dashboard in the second schema."""
    names = ("title", "description", "tags", "editable", "graphTooltip", "refresh", "timezone", "time", "links",
             "templating", "annotations", "panels")
    parts = taken(board, *names)
    title, description, tags, editable, tooltip, refresh, zone, time, links, variables, notes, panels = parts
    every = [one for top in panels for one in (top, *top.get("panels", ())) if one["type"] != "row"]
    return {
        "title": title, "description": description, "tags": tags, "editable": editable, "preload": False,
        "cursorSync": CURSOR[tooltip], "links": links,
        "timeSettings": {"from": time["from"], "to": time["to"], "timezone": zone, "autoRefresh": refresh,
                         "autoRefreshIntervals": [], "hideTimepicker": False, "fiscalYearStartMonth": 0},
        "variables": [variable(one) for one in variables["list"]],
        "annotations": [annotation(one) for one in notes["list"]],
        "elements": {f"panel-{one['id']}": panel(one) for one in every},
        "layout": layout(panels),
    }
