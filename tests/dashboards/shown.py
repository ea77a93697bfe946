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

import layout
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
    "suffix:services in one process": "services in one process",
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
        for panel in model.panels(board):
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

    def test_the_text_of_each_cell_fits_its_column_at_750_pixels(self):
        for where, panel, made in self.each("table"):
            sizes = layout.widths(panel)
            for field in made[0]:
                # Full names of gRPC services need more than half of it; legends have them in short.
                if (where, field["name"]) != ("mesh-service/Methods", "gRPC service"):
                    wide = [text for text in field["texts"] if layout.needed(text) > sizes[field["name"]]]
                    self.assertEqual(wide, [], f"{where}: {field['name']} has {sizes[field['name']]:.0f} pixels")

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
            words = re.findall(r'"text": "([^"]+)"', json.dumps(panel["fieldConfig"]["defaults"].get("mappings", [])))
            wrong = [text for text in texts if not re.search(rf"({ends})$", text) and text not in words]
            self.assertEqual(wrong, [], where)
        for where, _, made in self.each("table"):
            texts = [text for field in made[0] for text in field["texts"]]
            self.assertEqual([text for text in texts if re.search("NaN|undefined|Invalid", text)], [], where)

    def test_what_is_known_only_as_less_than_a_bound_is_written_so(self):
        """In panels and columns of latencies: the value of a query whose quantile is in the first bucket."""
        bounds = {1e-5: "< 10 µs", 1e-4: "< 100 µs", 1e-3: "< 1 ms", 5e-3: "< 5 ms", 1e-2: "< 10 ms"}
        # An interpolated value, one on the bound and the mark of an axis stay as they are.
        values = [*(0.999999 * bound for bound in bounds), 1e-5, 1.5e-5, 9.9e-5]
        words = [*bounds.values(), "10 µs", "15 µs", "99 µs"]
        asked = [(where, None, values) for where, (panel, _) in self.panels.items()
                 if panel["type"] != "table" and panel["fieldConfig"]["defaults"]["unit"] == "s"]
        self.assertGreater(len(asked), 9)
        for where, names in (("mesh-overview/Services", ("p99", "REST p99")), ("mesh-service/Methods", ("p50", "p99")),
                             ("mesh-service/Routes", ("p50", "p99")), ("mesh-client/Dependencies", ("p50", "p99"))):
            asked += [(where, name, values) for name in names]
        for (where, name, _), found in zip(asked, self.written(asked), strict=True):
            self.assertEqual(found, words, f"{where} {name}")

    def test_a_spent_budget_is_gone_and_shared_processes_are_named(self):
        asked = [("mesh-slo/Time until the budget is gone", None, [0, 9 * 3600]),
                 ("mesh-slo/Error budget left", None, [-19, 0, 0.5]), ("mesh-runtime/Processes", None, [1, 5])]
        self.assertEqual(self.written(asked), [
            ["gone", "9 hours"], ["gone", "gone", "50%"], ["a process for each service", "5 services in one process"]])

    def written(self, asked):
        """The words of each (panel, column or None, values)."""
        sent = []
        for where, name, values in asked:
            field = self.panels[where][0]["fieldConfig"]
            rules = [rule for rule in field["overrides"] if rule["matcher"]["options"] == name]
            parts = {part["id"]: part["value"] for rule in rules for part in rule["properties"]}
            panel = {"fieldConfig": {"defaults": {**field["defaults"], **parts}, "overrides": []}}
            points = [[n, str(value)] for n, value in enumerate(values)]
            result = [{"metric": {}, "values": points}]
            sent.append({"panel": panel, "answers": [{"refId": "A", "format": "time_series", "legend": "a",
                                                      "result": result}]})
        return [frames[0][1]["texts"] for frames in node(sent)]

    def test_each_code_is_drawn_in_its_colour(self):
        seen = set()
        for where, panel, made in self.each("timeseries", "piechart"):
            if any("{{grpc_code}}" in target["legendFormat"] for target in panel["targets"]):
                for field in [field for frame in made for field in frame if field["type"] == "number"]:
                    self.assertEqual(set(field["colours"]), set(limits.painted(panel, field["name"])[-1:]), where)
                    seen.add(field["name"])
        self.assertGreater(len(seen), 7)
