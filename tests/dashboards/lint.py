#!/usr/bin/env python3
"""Checks dashboards, rules and docs/METRICS.md against the scrape pages of the services.

    lint.py FOLDER      FOLDER holds <service>.txt of each service
"""

import pathlib
import re
import subprocess
import sys
import unittest

import model
from model import DASHBOARDS, ROOT

PAGES = None

REMOVED = {"graph", "singlestat", "table-old", "grafana-worldmap-panel", "heatmap-old", "pluginlist"}
# Series that Prometheus adds itself.
OWN = {"up", "ALERTS", "scrape_duration_seconds", "scrape_samples_post_metric_relabeling"}
# Exported but not shown, with the reason.
UNSHOWN = {
    "mesh_recommendations_total": "the messages of RecommendBooks show the same",
    "tokio_workers_busy_ratio": "the busy seconds show the same over any window",
}
TARGET_LABELS = {*"job instance role alertname alertstate severity source target id le protocol".split()}

WORDS = {
    "by", "without", "on", "ignoring", "group_left", "group_right", "and", "or", "unless", "bool", "offset",
    "inf", "nan",
}
NAME = re.compile(r"(?<![\w:$.])[a-zA-Z_:][\w:]*(?![\w:])")
RANGED = ("rate", "increase", "changes", "resets")
# Calls in progress without a gauge: the difference of two counters that reset together.
IN_PROGRESS = re.compile(
    r"(sum(?: by \([\w, ]+\))? \(grpc_(\w+)_)started_total\) "
    r"- ?\( ?\1handled_total\) or 0 \* \1started_total\) ?\)"
)
# A panel that shows the value of an alert uses its window.
WINDOWS = {"mesh-heartbeats/Tasks": "10m"}
DURATION = r"\[[^\]]*\]"


def bare(expr):
    """The expression without strings and variables."""
    return re.sub(r"\$\w+", "1", re.sub(r'"(?:[^"\\]|\\.)*"', '""', expr))


def names(expr):
    """(metric names, label names) of an expression."""
    text = bare(expr)
    labels, metrics = set(), set()
    for matchers in re.findall(r"\{([^}]*)\}", text):
        labels.update(re.findall(r"([a-zA-Z_]\w*)\s*(?:=~|!~|!=|=)", matchers))
    text = re.sub(r"\{[^}]*\}", "", text)
    text = re.sub(DURATION, "", text)
    for listed in re.findall(r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\(([^)]*)\)", text):
        labels.update(label.strip() for label in listed.split(",") if label.strip())
    text = re.sub(r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)", " ", text)
    for match in NAME.finditer(text):
        after = text[match.end():].lstrip()
        if match[0].lower() not in WORDS and not after.startswith("("):
            metrics.add(match[0])
    return metrics, labels


def all_expressions():
    for path in DASHBOARDS:
        for where, expr, *_ in model.expressions(model.load(path)):
            label = re.fullmatch(r"label_values\((.*), *(\w+)\)", expr)
            expr = re.sub(r"^query_result\((.*)\)$", r"\1", expr)
            if label:
                yield where, label[1], {label[2]}
            else:
                yield where, expr, set()
    for file, _, name, expr in model.rules():
        yield f"{file}/{name}", expr, set()
    for alert, expr in model.runbooks():
        yield f"{alert}.md", expr, set()
    # Queries that a span links to; $__tags selects its service.
    for path in sorted((ROOT / "grafana/provisioning/datasources").glob("*.yml")):
        for expr in re.findall(r"^ +- name: .+\n +query: (.+)", path.read_text(), re.M):
            yield f"{path.name}/{expr[:20]}", expr.replace("$$__tags", 'job="time"'), set()


class Lint(unittest.TestCase):
    def boards(self):
        self.assertTrue(DASHBOARDS)
        return [model.load(path) for path in DASHBOARDS]

    def exported(self):
        found = model.families(PAGES)
        names = dict.fromkeys(OWN, ("gauge", set()))
        names |= {name: ("recorded", set()) for _, kind, name, _ in model.rules() if kind == "record"}
        for name, (kind, labels, _) in found.items():
            if kind == "histogram":
                names |= {f"{name}_{part}": ("counter", labels) for part in ("bucket", "sum", "count")}
            else:
                names[name] = (kind, labels)
        return names

    def test_uids_and_ids_are_unique(self):
        boards = self.boards()
        uids = [board["uid"] for board in boards]
        self.assertEqual(len(uids), len(set(uids)))
        self.assertEqual(uids, [path.stem for path in DASHBOARDS])
        for board in boards:
            ids = [panel["id"] for panel in model.panels(board)]
            self.assertEqual(len(ids), len(set(ids)), board["uid"])
            titles = [panel["title"] for panel in model.panels(board)]
            self.assertEqual(len(titles), len(set(titles)), board["uid"])

    def test_panels_are_complete(self):
        for board in self.boards():
            for panel in model.panels(board):
                where = f"{board['uid']}/{panel['title']}"
                self.assertNotIn(panel["type"], REMOVED, where)
                if panel["type"] == "row":
                    continue
                self.assertRegex(panel["description"], r"^\S.*\.$", where)
                self.assertNotRegex(panel["description"], r"[.!?] [A-Z]", f"{where}: one sentence")
                self.assertTrue(panel["fieldConfig"]["defaults"]["unit"], where)
                refs = [target["refId"] for target in panel["targets"]]
                self.assertTrue(refs and len(refs) == len(set(refs)), where)
                named = any("{{" in target.get("legendFormat", "") for target in panel["targets"])
                if panel["type"] == "stat" and named:
                    self.assertEqual(panel["options"]["textMode"], "value_and_name", f"{where}: values without a name")
                if panel["type"] == "nodeGraph":
                    self.assertEqual(refs, ["edges"], where)

    def test_the_data_source_is_a_variable(self):
        def walk(value, where):
            if isinstance(value, dict):
                if "datasource" in value:
                    self.assertEqual(value["datasource"], {"type": "prometheus", "uid": "$datasource"}, where)
                for part in value.values():
                    walk(part, where)
            elif isinstance(value, list):
                for part in value:
                    walk(part, where)

        for board in self.boards():
            walk(board, board["uid"])
            for panel in model.panels(board):
                if panel["type"] != "row":
                    for item in [panel, *panel["targets"]]:
                        self.assertIn("datasource", item, panel["title"])
            self.assertEqual(board["templating"]["list"][0]["current"]["value"], "mesh-prometheus")

    def test_panels_take_the_interval_of_grafana(self):
        for board in self.boards():
            for panel in model.panels(board):
                for target in panel.get("targets", []):
                    fixed = WINDOWS.get(f"{board['uid']}/{panel['title']}")
                    for window in re.findall(r"\b(?:rate|increase|irate|delta)\([^\[]*\[([^\]]*)\]", target["expr"]):
                        self.assertIn(window, ("$__rate_interval", "$__range", fixed), panel["title"])

    def test_links_keep_time_and_lead_somewhere(self):
        uids = {path.stem for path in DASHBOARDS}
        for path in DASHBOARDS:
            board = model.load(path)
            self.assertTrue(all(link["keepTime"] and link["includeVars"] for link in board["links"]) and board["links"])
            for url in re.findall(r'"url": "(/d/[^"]*)"', path.read_text()):
                self.assertIn(re.match(r"/d/([\w-]+)", url)[1], uids)
                self.assertIn("${__url_time_range}", url)
        for line in (ROOT / "deploy/prometheus/rules/alerts.yml").read_text().splitlines():
            if "dashboard_url:" in line:
                self.assertIn(re.search(r"/d/([\w-]+)", line)[1], uids)

    def test_names_and_labels_exist(self):
        exported = self.exported()
        page_labels = set().union(*(labels for _, labels in exported.values())) | TARGET_LABELS
        for where, expr, more in all_expressions():
            metrics, labels = names(expr)
            self.assertTrue(metrics, f"{where}: names no metric")
            self.assertLessEqual(metrics, exported.keys(), f"{where}: not exported")
            self.assertLessEqual(labels | more, page_labels, f"{where}: no such label")
            # The label of a matcher must exist on its metric.
            unquoted = re.sub(r'"(?:[^"\\]|\\.)*"', '""', expr)
            for metric, matchers in re.findall(r"([a-zA-Z_:][\w:]*)\{([^}]*)\}", unquoted):
                asked = set(re.findall(r"([a-zA-Z_]\w*)\s*(?:=~|!~|!=|=)", matchers))
                if exported[metric][0] != "recorded":
                    self.assertLessEqual(asked, exported[metric][1] | TARGET_LABELS, f"{where}: {metric}")

    def test_counters_are_read_as_rates(self):
        counters = {name for name, (kind, _) in self.exported().items() if kind == "counter"}
        for where, expr, more in all_expressions():
            if more or where.startswith("recording.yml") and "group by" in expr:
                continue
            text = re.sub(r"\{[^}]*\}", "", bare(expr))
            text = IN_PROGRESS.sub(" ", re.sub(r"\s+", " ", text))
            plain = re.sub(r"\b(?:%s)\(\s*[\w:]+\s*%s\s*\)" % ("|".join(RANGED), DURATION), " ", text)
            left = set(NAME.findall(plain)) & counters
            if where.endswith("/MeshStuckCalls"):
                # Multiplied by 0, it only selects instances.
                left -= {"grpc_server_started_total"}
            if where == "mesh-service/$streams":  # counts the methods, not their calls
                left -= {"grpc_server_started_total"}
            if "job:slo_objective:ratio" in where:
                left -= {"grpc_server_handled_total"}
            self.assertFalse(left, f"{where}: a counter without rate() or increase()")

    def test_one_list_of_faults(self):
        code = (ROOT / "crates/status/src/code.rs").read_text()
        body = re.search(r"const fn is_fault\(code: Code\).*?\n}", code, re.S)[0]
        faults = set(re.findall(r"Code::(\w+)", body))
        text = (ROOT / "docs/METRICS.md").read_text()
        section = text.split("## Faults", 1)[1].split("\n## ", 1)[0]
        self.assertEqual(set(re.findall(r"`(\w+)`", section)) & set(map(str, faults)), faults)
        self.assertEqual(set(re.findall(r"^\* `(\w+)`", section, re.M)), faults)
        pattern = "(?i)" + "|".join(sorted(re.sub(r"(?<!^)(?=[A-Z])", "_?", name).lower() for name in faults))
        used = set()
        for path in [*DASHBOARDS, *model.RULES]:
            used.update(re.findall(r"\(\?i\)[\w?|]*deadline[\w?|]*", path.read_text()))
        # Grafana's colour patterns have no (?i) flag.
        self.assertEqual({"(?i)" + "|".join(sorted(one[4:].split("|"))) for one in used}, {pattern})

    def test_each_alert_has_its_page(self):
        text = (ROOT / "deploy/prometheus/rules/alerts.yml").read_text()
        alerts = [name for _, kind, name, _ in model.rules() if kind == "alert"]
        self.assertEqual(re.findall(r"runbook_url: .*/(\w+)\.md'", text), alerts)
        pages = sorted((ROOT / "docs/runbooks").glob("*.md"))
        self.assertEqual([path.stem for path in pages], sorted(alerts))
        for page in pages:
            heads = re.findall(r"^#+ (.*)", page.read_text(), re.M)
            self.assertEqual(heads, [page.stem, "What it means", "How to look", "What to do"])
        self.assertEqual({alert for alert, _ in model.runbooks()}, set(alerts))
        for part in ("summary", "description", "dashboard_url"):
            self.assertEqual(text.count(f"          {part}: "), len(alerts), part)
        self.assertEqual(text.count("description: '"), len(re.findall(r"description: '.*\$value", text)), "the value")
        tests = "".join(path.read_text() for path in (ROOT / "deploy/prometheus/tests").glob("*.yml"))
        for alert in alerts:
            self.assertRegex(tests, rf"alertname: {alert}\n +exp_alerts:", "no test in which it fires")
            self.assertRegex(tests, rf"alertname: {alert}\n(?! +exp_alerts:)", "no test in which it stays silent")

    def test_absent_services_are_those_of_prometheus_yml(self):
        jobs = set(re.findall(r"job_name: (\S+)", (ROOT / "prometheus.yml").read_text())) - {"prometheus"}
        expr = next(expr for _, _, name, expr in model.rules() if name == "MeshServiceAbsent")
        self.assertEqual(set(re.findall(r'absent\(up\{job="([^"]+)"\}\)', expr)), jobs)

    def test_the_dashboards_are_up_to_date(self):
        made = subprocess.run([sys.executable, ROOT / "grafana/generate.py", "--check"], capture_output=True, text=True)
        self.assertEqual(made.returncode, 0, made.stderr)

    def test_the_document_lists_the_dashboards_and_panels(self):
        text = (ROOT / "docs/DASHBOARDS.md").read_text()
        boards = {board["title"]: board for board in self.boards()}
        self.assertEqual(set(re.findall(r"^\| (Mesh [^|]+?) \|", text, re.M)), boards.keys())
        older = text.split("and a panel for each:", 1)[1]
        named = {" ".join(one.split()) for one in re.findall(r"\*([^*]+)\*", older)}
        self.assertLessEqual(named, {panel["title"] for panel in model.panels(boards["Mesh service"])})

    def test_the_document_lists_the_families(self):
        found = model.families(PAGES)
        text = (ROOT / "docs/METRICS.md").read_text().split("## Families", 1)[1].split("\n## ", 1)[0]
        documented, every = {}, {page.stem for page in pathlib.Path(PAGES).glob("*.txt")}
        for line in text.splitlines():
            cells = [cell.strip() for cell in line.strip("|").split("|")]
            if len(cells) == 6 and cells[0].startswith("`"):
                labels = set(re.findall(r"`(\w+)`", cells[2]))
                services = every if cells[5] == "all" else set(cells[5].split(", "))
                documented[cells[0].strip("`")] = (cells[1], labels, services)
        self.assertEqual(documented.keys(), found.keys())
        for name, (kind, labels, services) in found.items():
            self.assertEqual(documented[name], (kind, labels - {"le"}, services), name)

    def test_the_document_lists_the_recorded_series(self):
        text = (ROOT / "docs/METRICS.md").read_text().split("\n## Recorded", 1)[1].split("\n## ", 1)[0]
        rows = [line for line in text.splitlines() if line.startswith("| `")]
        documented = sorted(name for row in rows for name in re.findall(r"`([^`]+)`", row.split("|")[1]))
        self.assertEqual(documented, sorted({name for _, kind, name, _ in model.rules() if kind == "record"}))

    def test_each_family_is_shown(self):
        shown = set()
        for where, expr, _ in all_expressions():
            if where.endswith(".md"):
                continue
            shown |= {re.sub(r"_(bucket|sum|count)$", "", name) for name in names(expr)[0]}
        silent = sorted(model.families(PAGES).keys() - shown)
        print(f"\nnot shown: {', '.join(silent) or 'none'}", file=sys.stderr)
        self.assertEqual(silent, sorted(UNSHOWN))


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    PAGES = sys.argv.pop(1)
    if len(model.families(PAGES)) == 0:
        sys.exit(f"no pages in {PAGES}")
    unittest.main()
