"""Charts of numbers, simpler than Grafana's."""

import math
import time
from html import escape

from svg import circle, line, nothing, picture, rect, swatch, tag, text
from units import worded, written

# fmt: off
PALETTE = ["#7EB26D", "#EAB839", "#6ED0E0", "#EF843C", "#E24D42", "#1F78C1", "#BA43A9", "#705DA0", "#508642", "#CCA300",
           "#447EBC", "#C15C17", "#890F02", "#0A437C", "#6D1F62", "#584477"]
# fmt: on
BETWEEN_TIMES = (15, 30, 60, 120, 180, 300, 600, 1800, 3600, 10800, 1e9)


def step_colour(steps, value):
    found = steps[0]["color"]
    for one in steps:
        if one["value"] is None or value is not None and value >= one["value"]:
            found = one["color"]
    return found


def overrides_of(panel, name):
    found = {}
    for one in panel["fieldConfig"]["overrides"]:
        if one["matcher"] == {"id": "byName", "options": name}:
            found |= {part["id"]: part["value"] for part in one["properties"]}
    return found


def limits(panel):
    """The thresholds that a panel draws as lines."""
    defaults = panel["fieldConfig"]["defaults"]
    if defaults["custom"]["thresholdsStyle"]["mode"] != "line":
        return []
    return [step["value"] for step in defaults["thresholds"]["steps"] if step["value"] is not None]


def ticks(low, high, count=5):
    raw = ((high - low) or 1) / count
    size = 10 ** math.floor(math.log10(raw))
    step = next(size * m for m in (1, 2, 5, 10) if size * m >= raw)
    first = math.ceil(low / step) * step
    return [first + n * step for n in range(int((high - first) / step + 1e-9) + 1)]


class Plot:
    """The axes of a chart over time, and its scales."""

    def __init__(self, width, height, span, low, high, unit, left=64, linear_to=None):
        self.linear_to = linear_to
        self.left, self.top, self.width, self.height = left, 6, width - left - 8, height - 26
        self.span, self.low, self.high, self.unit = span, low, high, unit

    def x(self, at):
        return self.left + self.width * (at - self.span[0]) / (self.span[1] - self.span[0])

    def y(self, value):
        low, high, value = (self.scaled(one) for one in (self.low, self.high, value))
        return self.top + self.height * (1 - (value - low) / (high - low))

    def scaled(self, value):
        """Linear, or, as uPlot's asinh, linear up to a value and logarithmic above."""
        return math.asinh(value / self.linear_to) if self.linear_to else value

    def marks(self):
        if not self.linear_to:
            return ticks(self.low, self.high)
        first = round(math.log10(self.linear_to))
        return [0, *(10**n for n in range(first, 9) if self.low < 10**n < self.high)]

    def times(self):
        start, end = self.span
        each = next(one for one in BETWEEN_TIMES if (end - start) / one <= 8)
        first, bottom = math.ceil(start / each) * each, self.top + self.height
        out = ""
        for n in range(int((end - first) / each) + 1):
            at = first + n * each
            label = time.strftime("%H:%M:%S" if each < 60 else "%H:%M", time.gmtime(at))
            out += line(self.x(at), self.top, self.x(at), bottom) + text(self.x(at), bottom + 14, label)
        return out

    def across(self, value, **style):
        return line(self.left, self.y(value), self.left + self.width, self.y(value), **style)

    def name(self, y, words):
        return text(self.left - 6, y + 4, words, "end")

    def axes(self):
        values = self.marks()
        return self.times() + "".join(self.across(v) + self.name(self.y(v), written(v, self.unit)) for v in values)

    def path(self, points, start="M"):
        return " ".join(f"{'L' if n else start}{self.x(at):.1f},{self.y(v):.1f}" for n, (at, v) in enumerate(points))


def legend(series):
    return tag("div", "".join(tag("span", swatch(one.colour, one.name)) for one in series), class_="legend")


def stacked(series):
    """Stacks series: yields each with the line below it."""
    below = {}
    for one in series:
        floor = [(at, below.get(at, 0.0)) for at, _ in one.points]
        one.points = [(at, below.get(at, 0.0) + value) for at, value in one.points]
        below.update(one.points)
        yield one, floor


def timeseries(panel, series, width, height, span, none):
    if not series:
        return nothing(none)
    defaults = panel["fieldConfig"]["defaults"]
    custom = defaults["custom"]
    drawn = list(stacked(series)) if custom["stacking"]["mode"] == "normal" else [(one, None) for one in series]
    values = [value for one in series for _, value in one.points]
    low = defaults.get("min", min([*values, custom.get("axisSoftMin", min(values))]))
    high = defaults.get("max", max([*values, custom.get("axisSoftMax", low)]))
    high = high if high > low else low + 1
    legend_lines = 1 + sum(len(one.name) + 5 for one in series) * 6.2 // width
    height = height - 18 * min(legend_lines, 3)
    linear_to = custom.get("scaleDistribution", {}).get("linearThreshold")
    high *= 1 if "max" in defaults else 1.05
    plot = Plot(width, height, span, low, high, defaults["unit"], linear_to=linear_to)
    body = plot.axes()
    for one, floor in drawn:
        if floor:
            ring = f"{plot.path(one.points)} {plot.path(floor[::-1], 'L')}Z"
            body += tag("path", d=ring, fill=one.colour, opacity="0.3")
        body += tag("path", d=plot.path(one.points), fill="none", stroke=one.colour, stroke_width=1.5)
    for limit in limits(panel):
        if low <= limit <= plot.high:
            body += plot.across(limit, stroke="#C4162A", stroke_dasharray="6 4")
    return picture(width, height, body) + legend(series)


def stat(panel, series, width, height, span, none):
    if not series:
        return nothing(none)
    defaults = panel["fieldConfig"]["defaults"]
    size = min(44, int(height / 2), int(1.6 * width / len(series) / 6))
    cells = ""
    for one in series:
        value = one.points[-1][1]
        with_name = len(series) > 1 or panel["options"].get("textMode") == "value_and_name"
        name = tag("small", escape(one.name)) if with_name else ""
        thresholds = overrides_of(panel, one.name).get("thresholds", defaults["thresholds"])
        colour = step_colour(thresholds["steps"], value)
        words = worded(value, defaults["unit"], defaults.get("mappings", []))
        cells += tag("div", name + escape(words), style=f"color:{colour};font-size:{size}px")
    return tag("div", cells, class_="stats")


def bars(panel, series, width, height, span, none):
    if not series:
        return nothing(none)
    defaults = panel["fieldConfig"]["defaults"]
    most = defaults.get("max") or max(one.points[-1][1] for one in series) or 1
    rows = ""
    for one in series:
        value = one.points[-1][1]
        colour, share = step_colour(defaults["thresholds"]["steps"], value), max(0, min(100, 100 * value / most))
        bar = tag("div", style=f"width:{share:.1f}%;background:{colour}")
        words = worded(value, defaults["unit"], defaults.get("mappings", []))
        number = tag("td", escape(words), style=f"color:{colour}")
        rows += tag("tr", tag("td", escape(one.name)) + tag("td", bar, class_="bar") + number)
    return tag("table", rows, class_="bars")


def pie(panel, series, width, height, span, none):
    series = [one for one in series if one.points[-1][1] > 0]
    whole = sum(one.points[-1][1] for one in series)
    if not whole:
        return nothing(none)
    radius, turned, body, rows = min(height / 2 - 8, 90), 0.0, "", ""
    around = 2 * math.pi * radius * 0.75
    for one in series:
        share = one.points[-1][1] / whole
        cut = {"stroke_dasharray": f"{share * around:.2f} {around:.2f}", "stroke_dashoffset": f"{-turned * around:.2f}"}
        body += circle(radius + 8, height / 2, radius * 0.75, one.colour, radius * 0.5, **cut)
        rows += tag("tr", tag("td", swatch(one.colour, one.name)) + tag("td", f"{100 * share:.3g}%"))
        turned += share
    return tag("div", picture(2 * radius + 16, height, body) + tag("table", rows), class_="pie")


def apart(series):
    """Rows of a histogram from the lowest bound up: (bound, count of this bucket alone by time)."""
    below = {}
    for one in sorted(series, key=lambda one: float(one.labels["le"])):
        yield one.labels["le"], [(at, max(0.0, value - below.get(at, 0.0))) for at, value in one.points]
        below = dict(one.points)


def heatmap(panel, series, width, height, span, none):
    if not series:
        return nothing(none)
    rows = list(apart(series))
    most = max(value for _, cells in rows for _, value in cells) or 1
    used = [n for n, (_, cells) in enumerate(rows) if any(value for _, value in cells)] or [0]
    first, last = max(0, used[0] - 1), min(len(rows) - 1, used[-1] + 1)
    plot = Plot(width, height, span, first, last + 1, "none")
    body, unit = plot.times(), panel["options"]["yAxis"]["unit"]
    for n in range(first, last + 1):
        bound, cells = rows[n]
        top, each = plot.y(n + 1), plot.width / max(1, len(cells))
        body += plot.name(top, written(float(bound), unit))
        for at, value in cells:
            if value and at - span[0] > 5:
                share = 0.15 + 0.85 * value / most
                body += rect(plot.x(at) - each, top, each, plot.y(n) - top - 1, "#FF780A", share)
    return picture(width, height, body)
