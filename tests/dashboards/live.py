#!/usr/bin/env python3
"""Runs the services' programs and a Prometheus, drives the whole API, and runs every query of dashboards and rules.

    live.py PROGRAMS    the folder of the services' programs; needs prometheus, promtool, grpcio and grpcio-reflection,
                        and node and npm to run Grafana's own code on the results

Drives light traffic first, then faults in half of it, and keeps the values of the fault panels from both phases. Fails
on an error, a query that takes more than a second, an empty result despite traffic, or a fault panel that did not move.
"""

import json
import re
import subprocess
import sys
import tempfile
import threading
import time
import unittest
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import drive
import mesh as running
import model
from expected import BURNING, EDGES, EMPTY, FAULT_CODES, FAULT_PANELS, GOOD_PANELS, KINDS, NOISE, REVERT
from prom import Prometheus, fill, for_panel, label_values, query_result, step_of
from shown import Shown

LIMIT = 1.0
# Seconds: light traffic; faults at most; until the overview has data, at most; time range of the dashboards.
HEALTHY, FAILING, FIRST_DATA, RANGE = 45, 60, 30, 300


class Asked:
    """Runs the dashboards' queries on a Prometheus."""

    def __init__(self, prometheus):
        self.prometheus = prometheus
        self.boards = {path.stem: model.load(path) for path in model.DASHBOARDS}

    def panel(self, where, choice):
        """The current values of all series of a panel."""
        uid, title = where.split("/")
        chosen = self.prometheus.chosen(self.boards[uid], RANGE, choice)
        queries = [query for query in model.expressions(self.boards[uid]) if query.where.startswith(where + "/")]
        answers = [
            self.prometheus.instant(fill(query.expr, for_panel(query.panel, chosen)), time.time())[0]
            for query in queries
        ]
        rows = [row for body in answers for row in body["data"]["result"]]
        return [(row["metric"], float(row["value"][1])) for row in rows]

    def numbers(self):
        """The current least and greatest value of each fault panel; 0 without values."""
        found = {}
        for where, choice, *_ in [*FAULT_PANELS, *GOOD_PANELS]:
            values = [value for _, value in self.panel(where, choice)] or [0.0]
            found[where] = (min(values), max(values))
        return found

    def codes(self):
        return {labels["grpc_code"] for labels, _ in self.panel("mesh-service/Completed by code", REVERT)}

    def empty(self, uid, worded=False):
        """The panels without data on a freshly opened dashboard; `worded`: only those without a text for that case."""
        panels = [panel for panel in model.panels(self.boards[uid]) if panel.get("targets")]
        panels = [panel for panel in panels if panel["title"] != "Alerts"]
        if worded:
            panels = [panel for panel in panels if "noValue" not in panel["fieldConfig"]["defaults"]]
        return [panel["title"] for panel in panels if not self.panel(f"{uid}/{panel['title']}", {})]


class Story:
    """Observations while the mesh is driven. Recorded once, before the tests, which check them."""

    def __init__(self, mesh, driver, pages):
        self.mesh, self.asked, self.pages = mesh, Asked(Prometheus(mesh.url)), pages
        with ThreadPoolExecutor() as pool:
            self.healthy(pool, driver)
            self.failing(pool, driver)

    def healthy(self, pool, driver):
        began = time.monotonic()
        traffic = pool.submit(driver.healthy, HEALTHY)
        while (empty := self.missing()) and time.monotonic() - began < FIRST_DATA:
            time.sleep(0.5)
        self.first_data, self.late = time.monotonic() - began, empty
        traffic.result()
        self.before, self.codes_before = self.asked.numbers(), self.asked.codes()
        self.alerts_before = self.mesh.query("ALERTS")
        self.blank = {uid: blank for uid in self.asked.boards if (blank := self.asked.empty(uid, worded=True))}

    def failing(self, pool, driver):
        """Runs until every fault panel has moved, all seven codes were seen and the burn alerts are pending."""
        enough = threading.Event()
        began = time.monotonic()
        traffic = pool.submit(driver.failing, FAILING, enough)
        while not traffic.done():
            time.sleep(1)
            self.during, self.codes_during = self.asked.numbers(), self.asked.codes()
            self.burning = {
                (labels["job"], labels["protocol"])
                for labels, _ in self.mesh.query('ALERTS{alertname="MeshErrorBudgetBurnFast"}')
            }
            if not self.unmoved() and FAULT_CODES <= self.codes_during and BURNING <= self.burning:
                enough.set()
                break
        self.moved_after = time.monotonic() - began
        traffic.result()

    def unmoved(self):
        worse = [where for where, _, _, least in FAULT_PANELS if self.during[where][1] < least]
        return worse + [where for where, _, _, most in GOOD_PANELS if self.during[where][0] > most]

    def missing(self):
        try:
            return self.asked.empty("mesh-overview")
        except AssertionError as error:  # a variable without a value yet
            return [str(error)]


class Live(unittest.TestCase):
    story = None

    def answer(self, where, expr, step=None):
        now = time.time()
        prometheus = self.story.asked.prometheus
        body, took = prometheus.over(expr, now - RANGE, now, step) if step else prometheus.instant(expr, now)
        self.assertEqual(body["status"], "success", f"{where}: {body.get('error')}\n{expr}")
        self.assertLess(took, LIMIT, f"{where}: took {took:.2f} s")
        return body["data"]["result"]

    def test_the_overview_has_data_within_thirty_seconds_of_the_first_request(self):
        print(f"\nthe overview had data {self.story.first_data:.0f} s after the first request", file=sys.stderr)
        self.assertEqual(self.story.late, [])

    def test_no_panel_shows_no_data_on_a_healthy_mesh(self):
        self.assertEqual(self.story.blank, {})

    def test_each_method_was_called(self):
        found = self.answer("calls", f"grpc_server_started_total{{{NOISE}}} == 0")
        self.assertEqual(found, [], "drive.py does not call these methods")

    def test_each_panel_query_returns_data(self):
        asked, may_be_empty = 0, set()
        for series, titles in KINDS.items():
            if not self.answer("kind of method", series):
                may_be_empty |= titles
        for uid, board in self.story.asked.boards.items():
            choice = opened(uid, streams="Streams open" not in may_be_empty)
            chosen = self.story.asked.prometheus.chosen(board, RANGE, choice)
            for query in model.expressions(board):
                if expr := query_result(query.expr):
                    self.assertTrue(self.answer(query.where, fill(expr, chosen)), query.where)
                    continue
                if "/$" in query.where:
                    series, label = label_values(query.expr)
                    values = self.answer(query.where, f"group by ({label}) ({fill(series, chosen)})")
                    self.assertTrue(values, query.where)
                    continue
                panel = query.panel or {}
                with self.subTest(query.where):
                    filled = fill(query.expr, for_panel(panel, chosen))
                    self.assertNotIn("$", filled.replace('"$1"', ""), "a variable without a value")
                    result = self.answer(query.where, filled, None if query.instant else step_of(panel, chosen))
                    asked += 1
                    self.assertNotIn("NaN", [row["value"][1] for row in result if query.instant], query.where)
                    if panel and panel["title"] not in may_be_empty and query.where not in EMPTY:
                        self.assertTrue(result, f"{query.where}: empty\n{filled}")
        print(f"\n{asked} dashboard queries ran", file=sys.stderr)

    def test_each_rule_and_runbook_query_runs(self):
        for file, kind, name, expr in model.rules():
            with self.subTest(name):
                result = self.answer(f"{file}/{name}", expr)
                if kind == "record":
                    self.assertTrue(result, f"{name}: empty")
        for alert, expr in model.runbooks():
            self.answer(f"{alert}.md", expr)

    def test_the_rules_are_loaded_and_healthy(self):
        with urllib.request.urlopen(f"{self.story.mesh.url}/api/v1/rules", timeout=30) as answer:
            groups = json.load(answer)["data"]["groups"]
        loaded = {rule["name"]: rule for group in groups for rule in group["rules"]}
        self.assertEqual(loaded.keys(), {name for _, _, name, _ in model.rules()})
        for rule in loaded.values():
            self.assertEqual(rule["health"], "ok", f"{rule['name']}: {rule.get('lastError')}")

    def test_the_edges_are_exact(self):
        rows = self.answer("topology", "edge:grpc_client_handled:rate5m > 0")
        self.assertEqual({(row["metric"]["source"], row["metric"]["target"]) for row in rows}, EDGES)
        rows = self.story.asked.panel("mesh-overview/Topology", {})
        callers = {f"REST-clients>{name}" for name in drive.ROUTES}
        self.assertEqual({labels["id"] for labels, _ in rows}, callers | {f"{a}>{b}" for a, b in EDGES if a != b})
        self.assertTrue(all(value > 0 for _, value in rows), rows)

    def test_every_counter_exists_from_the_start(self):
        """A counter that appears with its first event hides that event from increase(). Exempt are unknown paths, and
        instances, which the edge learns of by their first heartbeat.
        """
        first, last = (model.counters(self.story.pages / name) for name in ("first", "last"))
        born = last.keys() - first.keys()
        exempt = 'route="unknown"|status="405"|service_instance='
        self.assertEqual([one for one in born if not re.search(exempt, one[2])], [])

    def test_each_instance_that_sends_heartbeats_is_alive(self):
        rows = self.by_ref("mesh-heartbeats/Alive", "A", {})
        alive = {labels["service"] for labels, state in rows if state == 1 and labels.get("service_instance")}
        self.assertEqual(alive, set(running.LEAVES))
        self.assertEqual([(labels, state) for labels, state in rows if state != 1], [])
        seen, late, gone = (self.by_ref("mesh-overview/Heartbeats", ref, {})[0][1] for ref in "ABC")
        self.assertEqual((seen, late, gone), (len(rows), 0, 0))

    def test_each_known_rest_route_exists_and_was_driven(self):
        last = model.counters(self.story.pages / "last")
        counts = {key: value for key, value in last.items() if key[1] == "http_server_request_duration_seconds_count"}
        idle = [key for key, value in counts.items() if not value and "/prometheus/metrics" not in key[2]]
        self.assertTrue(counts)
        self.assertEqual(idle, [])

    def test_no_alert_is_pending_on_a_healthy_mesh(self):
        self.assertEqual(self.story.alerts_before, [])

    def test_the_fault_panels_move_under_fault(self):
        print(f"\nevery fault panel had moved {self.story.moved_after:.0f} s after the first fault", file=sys.stderr)
        for where, _, most, _ in FAULT_PANELS:
            self.assertLessEqual(self.story.before[where][1], most, where)
        for where, _, least, _ in GOOD_PANELS:
            self.assertGreaterEqual(self.story.before[where][0], least, where)
        self.assertFalse(self.story.codes_before & FAULT_CODES)
        self.assertEqual(self.story.unmoved(), [], self.story.during)
        self.assertLessEqual(FAULT_CODES, self.story.codes_during)

    def test_the_burn_alert_goes_pending_under_fault_for_grpc_and_for_rest(self):
        self.assertLessEqual(BURNING, self.story.burning)

    def test_the_users_of_the_edge_are_seen_while_its_grpc_calls_succeed(self):
        """REST is a part of each service's row, and its faults are not those of its gRPC calls."""
        rest = dict(self.by_job("mesh-overview/Services", "D"))
        self.assertEqual(rest.keys(), drive.ROUTES.keys())
        self.assertTrue(all(rate > 0 for rate in rest.values()), rest)
        self.assertGreater(dict(self.by_job("mesh-overview/Services", "E"))["edge"], 0.1)
        self.assertEqual(dict(self.by_job("mesh-overview/Services", "B"))["edge"], 0)
        self.assertLess(self.story.during["mesh-service/REST without fault"][0], 0.95)
        routes = {labels["route"]: value for labels, value in self.by_ref("mesh-service/Routes", "B", {})}
        self.assertEqual([route for route, faults in routes.items() if faults], ["/proxy/{name}"])

    def by_ref(self, where, ref, choice):
        """The values of one target of a panel."""
        uid = where.split("/")[0]
        chosen = self.story.asked.prometheus.chosen(self.story.asked.boards[uid], RANGE, choice)
        (query,) = [one for one in model.expressions(self.story.asked.boards[uid]) if one.where == f"{where}/{ref}"]
        rows = self.answer(query.where, fill(query.expr, for_panel(query.panel, chosen)))
        return [(row["metric"], float(row["value"][1])) for row in rows]

    def by_job(self, where, ref):
        return [(labels["job"], value) for labels, value in self.by_ref(where, ref, {})]


def opened(uid, streams):
    """Variables for the fullest view of a dashboard: a service with streams, if there is one."""
    if uid == "mesh-service":
        return {"job": "counter" if streams else "revert-name"}
    return {} if uid != "mesh-method" else REVERT


def main(programs):
    with tempfile.TemporaryDirectory() as scratch, running.Mesh(programs, scratch) as mesh:
        driver, pages = drive.Driver(mesh), Path(scratch)
        mesh.save_pages(pages / "first")
        try:
            Live.story = Story(mesh, driver, pages)
            Shown.prometheus = Live.story.asked.prometheus
        finally:
            driver.close()
        pages = pages / "last"
        mesh.save_pages(pages)
        lint = subprocess.run([sys.executable, Path(__file__).with_name("lint.py"), pages])
        unittest.main(argv=[sys.argv[0]], exit=False, verbosity=1).result.wasSuccessful() or sys.exit(1)
        sys.exit(lint.returncode)


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    main(sys.argv[1])
