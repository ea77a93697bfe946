#!/usr/bin/env python3
"""Asks a running Prometheus every expression of every dashboard and rule.

    live.py URL         a Prometheus that scrapes a mesh under light traffic, with its rules loaded, for a minute

Fails on an error, on an answer of more than a second, and on an empty answer of a panel, a variable or
a recording rule that is not listed below.
"""

import json
import re
import sys
import time
import unittest
import urllib.error
import urllib.parse
import urllib.request

import model

URL = None
LIMIT = 1.0

# Empty on a healthy mesh, each for its reason.
MAY_BE_EMPTY = {
    # no service of the mesh has a stream beside health and reflection
    "mesh-service/Stream messages",
    "mesh-service/Open streams",
    "mesh-service/Stream starts",
    # only where something burns
    "mesh-slo/Hours until the budget is gone",
}
EDGES = {("edge", "revert-name"), ("edge", "time"), ("revert-name", "edge"), ("time", "edge")}


def ask(path, **values):
    data = urllib.parse.urlencode(values).encode()
    started = time.monotonic()
    try:
        with urllib.request.urlopen(f"{URL}/api/v1/{path}", data, timeout=30) as answer:
            body = json.load(answer)
    except urllib.error.HTTPError as error:
        body = json.load(error)
    return body, time.monotonic() - started


def values(board):
    """A value for each variable of a dashboard: as it is chosen when it is opened."""
    chosen = {"__rate_interval": "1m", "__range": "5m", "__interval": "15s"}
    for variable in board["templating"]["list"]:
        name = variable["name"]
        if variable["type"] == "query":
            series, label = re.fullmatch(r"label_values\((.*), *(\w+)\)", variable["query"]["query"]).groups()
            body, _ = ask("query", query=f"group by ({label}) ({fill(series, chosen)})")
            found = sorted(row["metric"][label] for row in body["data"]["result"])
            if not found:
                raise AssertionError(f"{board['uid']}: ${name} has no value")
            chosen[name] = ".*" if variable.get("includeAll") else found[0]
        elif name != "datasource":
            chosen[name] = variable["current"]["value"]
    return chosen


def fill(expr, chosen):
    # The longest names first: $job is no part of $jobs.
    for name in sorted(chosen, key=len, reverse=True):
        expr = expr.replace(f"${name}", chosen[name])
    return expr


class Live(unittest.TestCase):
    def answer(self, where, expr, instant=True):
        now = time.time()
        if instant:
            body, took = ask("query", query=expr, time=now)
        else:
            body, took = ask("query_range", query=expr, start=now - 900, end=now, step=15)
        self.assertEqual(body["status"], "success", f"{where}: {body.get('error')}\n{expr}")
        self.assertLess(took, LIMIT, f"{where}: took {took:.2f} s")
        return body["data"]["result"]

    def test_each_panel_answers(self):
        asked = 0
        for path in model.DASHBOARDS:
            board = model.load(path)
            chosen = values(board)
            for where, expr, instant in model.expressions(board):
                if "/$" in where:
                    continue
                with self.subTest(where):
                    filled = fill(expr, chosen)
                    self.assertNotIn("$", filled.replace('"$1"', ""), "a variable that nobody sets")
                    result = self.answer(where, filled, instant)
                    asked += 1
                    panel = "/".join(where.split("/")[:2])
                    if "/annotation " not in where and panel not in MAY_BE_EMPTY:
                        self.assertTrue(result, f"{where}: empty\n{filled}")
        print(f"\n{asked} expressions of dashboards answered", file=sys.stderr)

    def test_each_rule_answers(self):
        for file, kind, name, expr in model.rules():
            with self.subTest(name):
                result = self.answer(f"{file}/{name}", expr)
                if kind == "record":
                    self.assertTrue(result, f"{name}: empty")

    def test_the_rules_are_loaded_and_healthy(self):
        with urllib.request.urlopen(f"{URL}/api/v1/rules", timeout=30) as answer:
            groups = json.load(answer)["data"]["groups"]
        loaded = {rule["name"]: rule for group in groups for rule in group["rules"]}
        self.assertEqual(loaded.keys(), {name for _, _, name, _ in model.rules()})
        for rule in loaded.values():
            self.assertEqual(rule["health"], "ok", f"{rule['name']}: {rule.get('lastError')}")

    def test_the_edges_are_exact(self):
        rows = self.answer("topology", "edge:grpc_client_handled:rate5m > 0")
        self.assertEqual({(row["metric"]["source"], row["metric"]["target"]) for row in rows}, EDGES)
        board = model.load(model.ROOT / "grafana/dashboards/mesh-overview.json")
        expr = next(expr for where, expr, _ in model.expressions(board) if where.endswith("/edges"))
        rows = self.answer("node graph", fill(expr, values(board)))
        self.assertEqual({row["metric"]["id"] for row in rows}, {f"{a} to {b}" for a, b in EDGES})


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    URL = sys.argv.pop(1).rstrip("/")
    unittest.main()
