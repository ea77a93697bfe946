#!/usr/bin/env python3
"""Checks the lines and colours of the dashboards: each alert's threshold where its link leads, and code colours."""

import re
import unittest

import model
from model import ROOT

BOARDS = [model.load(path) for path in model.DASHBOARDS]
CODES = """
    OK Canceled Unknown InvalidArgument DeadlineExceeded NotFound AlreadyExists PermissionDenied ResourceExhausted
    FailedPrecondition Aborted OutOfRange Unimplemented Internal Unavailable DataLoss Unauthenticated
""".split()
# The panels that draw each alert's threshold.
LIMITS = {
    "MeshTargetDown": [("mesh-runtime/Up", 1)],
    "MeshServiceAbsent": [("mesh-overview/Services up", 1)],
    "MeshErrorBudgetBurnFast": [("mesh-slo/Burn rate over 5m and 1h", 14.4), ("mesh-slo/Burn rate over 30m and 6h", 6)],
    "MeshErrorBudgetBurnSlow": [("mesh-slo/Burn rate over 2h and 1d", 3), ("mesh-slo/Burn rate over 6h and 3d", 1)],
    "MeshMethodErrorRateHigh": [
        ("mesh-method/Fault share", 0.05),
        ("mesh-service/Fault share by method", 0.05),
        ("mesh-overview/Fault share by service", 0.05),
    ],
    "MeshRouteErrorRateHigh": [
        ("mesh-service/REST fault share by route", 0.05),
        ("mesh-overview/Fault share by service", 0.05),
    ],
    "MeshMethodLatencyHigh": [("mesh-method/Latency", 0.5), ("mesh-service/Latency", 0.5)],
    "MeshClientSeesMoreErrorsThanServer": [("mesh-client/Faults beyond the server's", 0.05)],
    # Its threshold depends on the rate of calls, so a query draws it.
    "MeshStuckCalls": [("mesh-service/In progress by instance", None)],
    "MeshHeartbeatMissing": [("mesh-heartbeats/Age of the last heartbeat, in intervals", 3)],
    "MeshHeartbeatInstanceMissing": [("mesh-heartbeats/Age of the last heartbeat, in intervals", 3)],
    "MeshHeartbeatNeverSeen": [("mesh-heartbeats/Alive", 1)],
    "MeshTaskFailing": [("mesh-heartbeats/Tasks", 2.5)],
    "MeshTaskStalled": [("mesh-heartbeats/Tasks", 5)],
}

def painted(panel, name):
    """The fixed colours of a series of this name; the last one applies."""
    found = []
    for rule in panel["fieldConfig"]["overrides"]:
        pattern = re.fullmatch(r"/(.*)/i", str(rule["matcher"]["options"]))
        if rule["matcher"]["id"] == "byRegexp" and pattern and re.search(pattern[1], name, re.I):
            found += [part["value"]["fixedColor"] for part in rule["properties"] if part["id"] == "color"]
    return found


def thresholds(field):
    """Thresholds of a panel, and of its columns or series."""
    parts = [part for rule in field["overrides"] for part in rule["properties"]]
    return [field["defaults"]["thresholds"], *(part["value"] for part in parts if part["id"] == "thresholds")]


class Drawn(unittest.TestCase):
    def test_each_alert_is_drawn_where_its_link_leads(self):
        boards = {board["uid"]: {panel["title"]: panel for panel in model.panels(board)} for board in BOARDS}
        text = (ROOT / "deploy/prometheus/rules/alerts.yml").read_text()
        links = re.findall(r"- alert: (\w+)$.*?dashboard_url: '.*?/d/([\w-]+)", text, re.M | re.S)
        self.assertEqual(LIMITS.keys(), dict(links).keys())
        exprs = {name: expr for _, _, name, expr in model.rules()}
        for alert, uid in links:
            places = LIMITS[alert]
            self.assertEqual(places[0][0].split("/")[0], uid, alert)
            for where, limit in places:
                board, title = where.split("/")
                field = boards[board][title]["fieldConfig"]
                drawn = {step["value"] for one in thresholds(field) for step in one["steps"]}
                if limit is None:
                    queries = " ".join(target["expr"] for target in boards[board][title]["targets"])
                    for expr in (queries, exprs[alert]):
                        self.assertIn("5 + 10 *", expr, where)
                    continue
                self.assertIn(limit, drawn, where)
                # 1 is implicit in the rules: up or down, and the budget spent exactly.
                if limit != 1:
                    self.assertRegex(exprs[alert], rf"(?<![\w.]){limit:g}(?![\w.])", alert)

    def test_a_line_is_the_threshold_of_an_alert_or_described_as_no_alert(self):
        drawn = {where for places in LIMITS.values() for where, _ in places}
        for board in BOARDS:
            for panel in model.panels(board):
                style = panel.get("fieldConfig", {}).get("defaults", {}).get("custom", {}).get("thresholdsStyle", {})
                where = f"{board['uid']}/{panel['title']}"
                if style.get("mode") == "line" and where not in drawn:
                    self.assertIn("no alert", panel["description"], where)

    def test_each_code_has_a_colour_of_its_own_the_same_everywhere(self):
        seen = {}
        for board in BOARDS:
            for panel in model.panels(board):
                if not any("{{grpc_code}}" in target.get("legendFormat", "") for target in panel.get("targets", [])):
                    continue
                for code in CODES:
                    screaming = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", code).upper().replace("CANCELED", "CANCELLED")
                    for spelled in (code, screaming, f"time {code}"):
                        colours = painted(panel, spelled)
                        self.assertEqual(len(colours), 1, f"{board['uid']}/{panel['title']}: {spelled}")
                        self.assertEqual(seen.setdefault(code, colours[0]), colours[0], spelled)
        self.assertEqual(len(set(seen.values())), 17, "two codes share a colour")


if __name__ == "__main__":
    unittest.main()
