"""Draws every dashboard with the values of a running Prometheus, where there is no Grafana.

    python3 tests/dashboards/render URL FOLDER [seconds of the range] [variable=value ...]

Writes FOLDER/<uid>.html, and <uid>.png if Chromium is installed. Grid, titles, units, colours and thresholds come from
the JSON that Grafana reads; the drawing is simpler than Grafana's.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import zlib
from html import escape
from pathlib import Path

sys.path.insert(1, str(Path(__file__).resolve().parents[1]))

import charts  # noqa: E402
import drawn  # noqa: E402
import model  # noqa: E402
from prom import Prometheus, fill, for_panel, step_of  # noqa: E402
from svg import tag  # noqa: E402

WIDTH, TITLE, CELL, GAP, HEAD = 1600, 50, 30, 8, 30
STYLE = (Path(__file__).parent / "style.css").read_text()


class Series:
    """A line: name, colour and (time, value) points without gaps."""

    def __init__(self, name, labels, points):
        self.name, self.labels, self.colour = name, labels, ""
        self.points = [(float(at), float(value)) for at, value in points if value not in ("NaN", "+Inf", "-Inf")]


def named(legend, labels):
    if legend == "__auto":
        shown = {name: value for name, value in labels.items() if name != "__name__"}
        return (
            ", ".join(shown.values())
            if len(shown) == 1
            else "{" + ", ".join(f'{n}="{v}"' for n, v in shown.items()) + "}"
        )
    return re.sub(r"\{\{\s*(\w+)\s*\}\}", lambda match: labels.get(match[1], ""), legend)


def renamed(panel, name):
    for change in panel.get("transformations", []):
        if change["id"] == "renameByRegex":
            pattern, into = change["options"]["regex"].strip("/"), change["options"]["renamePattern"]
            name = re.sub(pattern, into.replace("$", "\\"), name, count=1)
    return name


class Board:
    def __init__(self, prometheus, board, seconds, choice):
        self.prometheus, self.board = prometheus, board
        self.chosen = prometheus.chosen(board, seconds, choice)
        self.span = (time.time() - seconds, time.time())

    def result(self, panel, target):
        expr = fill(target["expr"], for_panel(panel, self.chosen))
        if target.get("instant"):
            body, _ = self.prometheus.instant(expr, self.span[1])
        else:
            body, _ = self.prometheus.over(expr, *self.span, step_of(panel, self.chosen))
        if body["status"] != "success":
            raise SystemExit(f"{expr}: {body['error']}")
        return body["data"]["result"]

    def series(self, panel):
        found = []
        for target in panel["targets"]:
            for row in self.result(panel, target):
                points = row["values"] if "values" in row else [row["value"]]
                one = Series(renamed(panel, named(target["legendFormat"], row["metric"])), row["metric"], points)
                if one.points:
                    found.append(one)
        self.colour(panel, found)
        return found

    def colour(self, panel, series):
        for one in series:
            one.colour = charts.PALETTE[zlib.crc32(one.name.encode()) % len(charts.PALETTE)]
            for override in panel["fieldConfig"]["overrides"]:
                pattern = re.fullmatch(r"/(.*)/i?", str(override["matcher"]["options"]))
                if override["matcher"]["id"] == "byRegexp" and pattern and re.search(pattern[1], one.name, re.I):
                    for part in override["properties"]:
                        one.colour = part["value"]["fixedColor"] if part["id"] == "color" else one.colour

    def frames(self, panel):
        many = len(panel["targets"]) > 1
        for target in panel["targets"]:
            name = f"Value #{target['refId']}" if many else "Value"
            yield [
                {**{k: v for k, v in row["metric"].items() if k != "__name__"}, name: float(row["value"][1])}
                for row in self.result(panel, target)
            ]

    def content(self, panel, width, height):
        none = panel["fieldConfig"]["defaults"].get("noValue", "No data")
        kind = panel["type"]
        if kind == "table":
            return drawn.table(panel, list(self.frames(panel)), none)
        if kind == "nodeGraph":
            return drawn.node_graph(panel, next(self.frames(panel)), width, height, none)
        draw = {
            "timeseries": charts.timeseries,
            "stat": charts.stat,
            "gauge": charts.bars,
            "bargauge": charts.bars,
            "piechart": charts.pie,
            "heatmap": charts.heatmap,
            "state-timeline": drawn.states,
        }[kind]
        return draw(panel, self.series(panel), width, height, self.span, none)

    def page(self):
        """Height and HTML of the dashboard's page."""
        parts, bottom = "", 0
        for panel in self.board["panels"]:
            x, y, width, height = place(panel["gridPos"])
            bottom = max(bottom, y + height)
            style = f"left:{x}px;top:{y}px;width:{width}px;height:{height}px"
            if panel["type"] == "row":
                title = escape(fill(panel["title"], self.chosen))
                parts += tag("div", f"{'▸' if panel['collapsed'] else '▾'} {title}", class_="row", style=style)
                continue
            head = tag("h2", escape(panel["title"]) + tag("small", escape(panel["description"])))
            parts += tag("div", head + self.content(panel, width - 2, height - HEAD), class_="panel", style=style)
        asked = [variable["name"] for variable in self.board["templating"]["list"] if variable["type"] == "query"]
        chosen = ", ".join(f"{name} = {self.chosen[name]}" for name in asked)
        title = escape(self.board["title"]) + tag("small", escape(f"{self.board['description']} {chosen}"))
        style = tag("style", f"{STYLE}body{{height:{bottom}px}}")
        return bottom, f'<!doctype html><meta charset="utf-8">{style}{tag("header", title)}{parts}'


def place(grid):
    cell = WIDTH / 24
    left, top = grid["x"] * cell + GAP / 2, TITLE + grid["y"] * (CELL + GAP)
    return int(left), top, int(grid["w"] * cell - GAP), grid["h"] * (CELL + GAP) - GAP


# fmt: off
CHROMIUM = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
            "--disable-background-networking", "--disable-component-update", "--disable-sync"]
# fmt: on


def photograph(page, height, picture):
    if not shutil.which(CHROMIUM[0]):
        return False
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with tempfile.TemporaryDirectory() as profile:
        own = [f"--user-data-dir={profile}", f"--window-size={WIDTH},{height}", f"--screenshot={picture}"]
        subprocess.run([*CHROMIUM, *own, page.as_uri()], check=True, timeout=120, **quiet)
    return True


def main(url, folder, *more):
    seconds = int(next((word for word in more if word.isdigit()), 900))
    choice = dict(word.split("=", 1) for word in more if "=" in word)
    folder = Path(folder).resolve()
    os.makedirs(folder, exist_ok=True)
    for path in model.DASHBOARDS:
        height, text = Board(Prometheus(url), model.load(path), seconds, choice).page()
        page = folder / f"{path.stem}.html"
        page.write_text(text)
        pictured = photograph(page, int(height), page.with_suffix(".png"))
        print(page.with_suffix(".png") if pictured else page)


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
