"""Panels other than charts: tables, the node graph, states over time."""

import math
from html import escape

from charts import PALETTE, Plot, overrides_of, step_colour
from svg import LINE, circle, line, nothing, picture, rect, tag, text
from units import worded

ARROW = tag(
    "defs",
    tag(
        "marker",
        tag("path", d="M0,0L7,3L0,6Z", fill=LINE),
        id="arrow",
        markerWidth=8,
        markerHeight=8,
        refX=7,
        refY=3,
        orient="auto",
    ),
)
NODE, BESIDE = 36, 12


def merge(frames):
    """Grafana's `merge`: joins rows of all frames whose shared columns are equal."""
    columns, rows = [], []
    for frame in frames:
        columns += [name for name in (frame[0] if frame else {}) if name not in columns]
        for row in frame:
            for other in rows:
                shared = [name for name in row if name in other]
                if shared and all(row[name] == other[name] for name in shared):
                    other.update(row)
                    break
            else:
                rows.append(dict(row))
    return columns, rows


def cell(panel, name, value):
    rules = overrides_of(panel, name)
    unit = rules.get("unit", panel["fieldConfig"]["defaults"]["unit"])
    words = worded(value, unit, rules.get("mappings", [])) if isinstance(value, float) else value or "-"
    style = {}
    if rules.get("custom.cellOptions", {}).get("type") == "color-text" and isinstance(value, float):
        style = {"style": f"color:{step_colour(rules['thresholds']['steps'], value)}"}
    return tag("td", tag("span", escape(words), class_="link" if "links" in rules else ""), **style)


def table(panel, frames, none):
    columns, rows = merge(frames)
    if not rows:
        return nothing(none)
    organize = next(change["options"] for change in panel["transformations"] if change["id"] == "organize")
    hidden, names, order = (organize[key] for key in ("excludeByName", "renameByName", "indexByName"))
    shown = sorted((name for name in columns if not hidden.get(name)), key=lambda name: order.get(name, len(order)))
    for sort in panel["options"].get("sortBy", []):
        by = next(name for name, title in names.items() if title == sort["displayName"])
        rows.sort(key=lambda row: row.get(by, ""), reverse=sort["desc"])
    named = [(name, names.get(name, name)) for name in shown]
    head = tag("tr", "".join(tag("th", escape(title), **width(panel, title)) for _, title in named))
    body = "".join(tag("tr", "".join(cell(panel, title, row.get(name)) for name, title in named)) for row in rows)
    return tag("table", head + body)


def width(panel, title):
    rules = overrides_of(panel, title)
    return {"style": f"width:{rules['custom.width']}px"} if "custom.width" in rules else {}


def edge(source, target, words, colour):
    """An arrow beside the line between two nodes, which leaves room for the one in the other direction."""
    (x1, y1), (x2, y2) = source, target
    if source == target:
        return circle(x1, y1 - 50, 22, colour, 1) + text(x1, y1 - 76, words)
    length = math.hypot(x2 - x1, y2 - y1)
    ux, uy = (x2 - x1) / length, (y2 - y1) / length
    x1, y1 = x1 - uy * BESIDE + ux * (NODE + 4), y1 + ux * BESIDE + uy * (NODE + 4)
    x2, y2 = x2 - uy * BESIDE - ux * (NODE + 6), y2 + ux * BESIDE - uy * (NODE + 6)
    words = text((x1 + x2) / 2 - uy * 16, (y1 + y2) / 2 + ux * 16 + 4, words)
    return line(x1, y1, x2, y2, colour, marker_end="url(#arrow)") + words


def node_graph(panel, rows, width, height, none):
    if not rows:
        return nothing(none)
    unit = panel["options"]["edges"]["mainStatUnit"]

    def stat(value):
        return f"{value:.2f} {unit}"  # as Grafana's panel has it

    names = sorted({row[end] for row in rows for end in ("source", "target")})
    spot = {}
    for n, name in enumerate(names):
        turn = 2 * math.pi * n / len(names) - math.pi
        spot[name] = (width / 2 + (width / 2 - 110) * math.cos(turn), height / 2 + (height / 2 - 60) * math.sin(turn))
    ends = [(spot[row["source"]], spot[row["target"]], stat(row["Value"]), row["color"]) for row in rows]
    body = ARROW + "".join(edge(*one) for one in ends)
    for name, (x, y) in spot.items():
        into = sum(row["Value"] for row in rows if row["target"] == name)
        body += circle(x, y, NODE, PALETTE[5], 2, "#181b1f") + text(x, y + 4, stat(into))
        body += text(x, y + NODE + 18, name)
    return picture(width, height, body)


def states(panel, series, width, height, span, none):
    if not series:
        return nothing(none)
    defaults = panel["fieldConfig"]["defaults"]
    steps, mappings = defaults["thresholds"]["steps"], defaults.get("mappings", [])
    mapped = {key: value for mapping in mappings for key, value in mapping["options"].items()}
    left = 40 + 6 * max(len(one.name) for one in series)
    plot = Plot(width, height, span, 0, len(series), "none", left=left)
    body, tall = plot.times(), plot.height / len(series) - 8
    times = sorted({at for one in series for at, _ in one.points})
    # As in Grafana, a value lasts until the next one is due.
    due = 2 * min((b - a for a, b in zip(times, times[1:], strict=False)), default=span[1] - span[0])
    for n, one in enumerate(series):
        y = plot.y(len(series) - n) + 4
        body += plot.name(y + 12, one.name)
        ends = [at for at, _ in one.points[1:]] + [span[1]]
        for (at, value), end in zip(one.points, ends, strict=True):
            end = min(end, at + due)
            colour = mapped.get(f"{value:g}", {}).get("color") or step_colour(steps, value)
            body += rect(plot.x(at), y, plot.x(end) - plot.x(at) + 0.4, tall, colour, 0.8)
        last = f"{one.points[-1][1]:g}"
        words = mapped.get(last, {}).get("text", last)
        middle = (one.points[0][0] + min(span[1], one.points[-1][0] + due)) / 2
        body += text(plot.x(middle), y + 16, words, style="fill:#fff")
    return picture(width, height, body)
