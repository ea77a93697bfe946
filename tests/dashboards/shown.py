"""Runs Grafana's @grafana/data, in the version of docker-compose.yml, on the results of a running Prometheus, and
checks transformations, names, units, mappings and colours. Skipped without npm.
"""

import json
import os
import re
import shutil
import subprocess
import time
import unittest
from pathlib import Path

import limits
import model
from prom import fill, for_panel, step_of

VERSION = re.search(r"image: grafana/grafana:(\S+)", (model.ROOT / "docker-compose.yml").read_text())[1]
CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / f"vitalmesh-tools/grafana-data-{VERSION}"
PACKAGES = [f"@grafana/data@{VERSION}", "react@18.3.1", "react-dom@18.3.1", "jsdom@24.1.3", "global-jsdom@24.0.0",
            "esbuild@0.25.12"]
SCRIPT = Path(__file__).with_suffix(".cjs")
# Suffixes of numbers by unit.
ENDS = {
    "reqps": "req/s",
    "cpm": "c/m",
    "percentunit": "%",
    "s": "s|mins?|hours?|days?|weeks?|years?",
    "h": "hours?|days?|weeks?|years?",
    "bytes": "B",
}
RANGE = 60


def node(sent):
    """The output of shown.cjs. It is bundled first, because Debian's Node cannot require an ES module."""
    modules, bundle = CACHE / "node_modules", CACHE / "shown.cjs"
    if not (modules / "esbuild").exists():
        flags = ["--silent", "--no-audit", "--no-fund", "--no-save", "--legacy-peer-deps"]
        subprocess.run(["npm", "install", *flags, "--prefix", CACHE, *PACKAGES], check=True)
    env = {**os.environ, "NODE_PATH": str(modules)}
    flags = ["--bundle", "--platform=node", "--external:global-jsdom", f"--outfile={bundle}", "--log-level=error"]
    subprocess.run([modules / ".bin/esbuild", SCRIPT, *flags], env=env, check=True)
    text = json.dumps(sent).encode()
    return json.loads(subprocess.run(["node", bundle], input=text, env=env, stdout=subprocess.PIPE, check=True).stdout)


def asked(prometheus, choices):
    """(dashboard uid, panel, results of its queries) for all panels."""
    for path in model.DASHBOARDS:
        board, now = model.load(path), time.time()
        chosen = prometheus.chosen(board, RANGE, choices.get(path.stem))
        for panel in board["panels"]:
            answers = []
            for target in panel.get("targets", []):
                expr = fill(target["expr"], for_panel(panel, chosen))
                if target.get("instant"):
                    body, _ = prometheus.instant(expr, now)
                else:
                    body, _ = prometheus.over(expr, now - RANGE, now, step_of(panel, chosen))
                answers.append({"refId": target["refId"], "format": target.get("format", "time_series"),
                                "legend": target.get("legendFormat", "__auto"),
                                "result": body["data"]["result"]})
            if answers:
                yield board["uid"], panel, answers


@unittest.skipUnless(shutil.which("npm"), "needs node and npm")
class Shown(unittest.TestCase):
    prometheus, choices = None, {}
    panels = {}

    @classmethod
    def setUpClass(cls):
        panels = list(asked(cls.prometheus, cls.choices))
        frames = node([{"panel": panel, "answers": answers} for _, panel, answers in panels])
        cls.panels = {f"{uid}/{panel['title']}": (panel, made)
                      for (uid, panel, _), made in zip(panels, frames, strict=True)}

    def each(self, *kinds):
        found = [(where, panel, made) for where, (panel, made) in self.panels.items() if panel["type"] in kinds]
        self.assertTrue(found)
        return found

    def test_tables_have_their_columns_in_order_and_one_row_for_each(self):
        for where, panel, made in self.each("table"):
            self.assertEqual(len(made), 1, f"{where}: one table")
            columns = panel["transformations"][-1]["options"]["renameByName"].values()
            names = [field["name"] for field in made[0]]
            self.assertEqual(names, [name for name in columns if name in names], where)
            self.assertGreaterEqual(len(names), len(columns) - 1, where)
            of = [field["texts"] for field in made[0] if field["type"] == "string"]
            rows = list(zip(*of, strict=True))
            self.assertEqual(len(rows), len(set(rows)), f"{where}: {rows}")

    def test_the_node_graph_has_the_fields_that_its_panel_reads(self):
        (_, _, made), = self.each("nodeGraph")
        fields = {field["name"]: field for field in made[0]}
        self.assertLessEqual({"id", "source", "target", "color", "mainstat"}, fields.keys())
        self.assertEqual(fields["mainstat"]["type"], "number")
        # Ids become part of url(#...) in the SVG.
        self.assertEqual([one for one in fields["id"]["texts"] if re.search(r"[\s\"'()\\]", one)], [])

    def test_series_have_short_and_unique_names(self):
        for where, panel, made in self.each("timeseries", "piechart", "bargauge", "gauge", "state-timeline"):
            names = [field["name"] for frame in made for field in frame if field["type"] == "number"]
            self.assertEqual(len(names), len(set(names)), f"{where}: {sorted(names)}")
            for name in names:
                self.assertNotRegex(name, r"^$|\{\{|vitalmesh\.|undefined", where)

    def test_numbers_have_their_unit_and_none_is_nan(self):
        for where, panel, made in self.each("timeseries", "stat", "gauge", "bargauge"):
            ends = ENDS.get(panel["fieldConfig"]["defaults"]["unit"], r"[\d.]+|[KM]")
            texts = [text for frame in made for field in frame if field["type"] == "number" for text in field["texts"]]
            self.assertEqual([text for text in texts if not re.search(rf"({ends})$", text)], [], where)
        for where, _, made in self.each("table"):
            texts = [text for field in made[0] for text in field["texts"]]
            self.assertEqual([text for text in texts if re.search("NaN|undefined|Invalid", text)], [], where)

    def test_each_code_is_drawn_in_its_colour(self):
        seen = set()
        for where, panel, made in self.each("timeseries", "piechart"):
            if any("{{grpc_code}}" in target["legendFormat"] for target in panel["targets"]):
                for field in [field for frame in made for field in frame if field["type"] == "number"]:
                    self.assertEqual(set(field["colours"]), set(limits.painted(panel, field["name"])), where)
                    seen.add(field["name"])
        self.assertGreater(len(seen), 7)
