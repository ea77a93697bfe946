#!/usr/bin/env python3
"""Queries of the panels on synthetic series, evaluated by promtool: services with other metrics libraries, and services
without traffic. Needs promtool.

Other libraries (go-grpc-prometheus, py_grpc_prometheus, java-grpc-prometheus) export no gauge of calls in progress
and no mesh_* metrics, and spell types and codes in their own way.
"""

import json
import subprocess
import tempfile
import unittest
from pathlib import Path

import model
from prom import fill, for_panel, windows

BOARDS = {path.stem: model.load(path) for path in model.DASHBOARDS}
EVERY, MANY = 5, 72
AT = EVERY * MANY
RED, GREY = "#C4162A", "#8E8E8E"
# Spellings of unary, server stream, success, a fault and a cancelled call.
GO = ("unary", "server_stream", "OK", "Internal", "Canceled")
PYTHON = ("UNARY", "SERVER_STREAMING", "OK", "INTERNAL", "CANCELLED")


def series(name, labels, start=0, step=0):
    """A series that starts at `start` and grows by `step` per sample."""
    written = ",".join(f'{label}="{value}"' for label, value in labels.items())
    return {"series": f"{name}{{{written}}}", "values": f"{start}+{step}x{MANY}"}


def others(spelling):
    """A service and its caller: 2 calls per second, a tenth fails, a tenth is cancelled, and 4 never complete."""
    unary, stream, ok, fault, cancel = spelling
    of = {"grpc_service": "others.v1.Things", "grpc_method": "Get", "grpc_type": unary}
    watched = {**of, "grpc_method": "Watch", "grpc_type": stream}
    probes = {**of, "grpc_service": "grpc.health.v1.Health", "grpc_method": "Check"}
    made = [series("up", {"job": job, "instance": job}, 1) for job in ("things", "caller")]
    for side, job in (("server", "things"), ("client", "caller")):
        own, family = {"job": job, "instance": job}, f"grpc_{side}"
        made += [series(f"{family}_started_total", {**own, **of}, 4, 10)]
        made += [series(f"{family}_started_total", {**own, **probes}, 0, 50)]
        for code, step in ((ok, 8), (fault, 1), (cancel, 1)):
            made += [series(f"{family}_handled_total", {**own, **of, "grpc_code": code}, 0, step)]
        for bound, step in (("0.25", 0), ("0.5", 10), ("+Inf", 10)):
            made += [series(f"{family}_handling_seconds_bucket", {**own, **of, "le": bound}, 0, step)]
        made += [series(f"{family}_handling_seconds_count", {**own, **of}, 0, 10)]
        made += [series(f"{family}_handling_seconds_sum", {**own, **of}, 0, 4 if side == "server" else 5)]
    own = {"job": "things", "instance": "things"}
    # The service calls itself too.
    asked = {"job": "things", "grpc_service": of["grpc_service"]}
    made += [series(f"grpc_client_{name}_total", {**asked, "grpc_type": unary, **code}, 0, 1)
             for name, code in (("started", {}), ("handled", {"grpc_code": ok}))]
    made += [series("grpc_server_started_total", {**own, **watched}, 3, 5)]
    made += [series("grpc_server_handled_total", {**own, **watched, "grpc_code": ok}, 0, 5)]
    return [*made, series("grpc_server_msg_sent_total", {**own, **watched}, 0, 20)]


def idle():
    """A service without traffic: every series is 0."""
    of = {"job": "idle", "instance": "i", "grpc_service": "idle.v1.Idle", "grpc_method": "Do", "grpc_type": "unary"}
    made = [series("up", {"job": "idle", "instance": "i"}, 1), series("grpc_server_started_total", of)]
    made += [series("grpc_server_handled_total", {**of, "grpc_code": code}) for code in ("OK", "Internal")]
    made += [series("grpc_server_handling_seconds_bucket", {**of, "le": bound}) for bound in ("0.25", "0.5", "+Inf")]
    return [*made, series("grpc_server_handling_seconds_count", of), series("grpc_server_handling_seconds_sum", of)]


def scheduled(of, enabled=1, seen=0):
    """A task with an interval of ten seconds that last succeeded at `seen`."""
    return [
        series("mesh_task_enabled", of, enabled),
        series("mesh_task_interval_seconds", of, 10),
        series("mesh_task_last_success_timestamp_seconds", of, seen),
        series("mesh_task_next_run_timestamp_seconds", of, AT + 7),
        series("mesh_task_runs_total", {**of, "outcome": "error"}, 0, 1),
    ]


def question(where, choice):
    """The query of a panel's target, as Grafana sends it."""
    uid, title, ref = where.split("/")
    board = BOARDS[uid]
    query = next(query for query in model.expressions(board) if query.where == where)
    chosen = {"__range": "300s", **windows(EVERY), "job": ".*", "interval": "5s"}
    chosen |= {one["name"]: one["query"] for one in board["templating"]["list"] if one["type"] == "constant"}
    return fill(query.expr, for_panel(query.panel, {**chosen, **choice}))


def labelled(labels):
    return "{" + ",".join(f'{name}="{value}"' for name, value in labels.items()) + "}"


def expected(where, choice, rows):
    samples = [{"labels": labelled(labels), "value": value} for labels, value in rows]
    return {"expr": f"round({question(where, choice)}, 0.001)", "eval_time": f"{AT}s", "exp_samples": samples}


class Panels(unittest.TestCase):
    def shows(self, made, asked):
        """Checks each (panel, variables, expected (labels, value) pairs) on these series."""
        case = {"interval": f"{EVERY}s", "input_series": made, "promql_expr_test": [expected(*one) for one in asked]}
        rules = [str(path) for path in model.RULES if path.stem == "recording"]
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "panels.yml"
            # JSON is YAML.
            file.write_text(json.dumps({"rule_files": rules, "evaluation_interval": "5s", "tests": [case]}))
            done = subprocess.run(["promtool", "test", "rules", file], capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def test_services_with_other_libraries_are_shown_in_both_spellings(self):
        for spelling in (GO, PYTHON):
            unary, stream, ok, fault, cancel = spelling
            of, job = {"grpc_service": "others.v1.Things", "grpc_method": "Get"}, {"job": "things"}
            caller, edge = {"job": "caller"}, {"job": "caller", "grpc_service": "others.v1.Things"}
            watched, typed = {**of, "grpc_method": "Watch"}, {"grpc_type": unary}
            asked = [
                ("mesh-overview/Services up/A", {}, [({}, 2)]),
                ("mesh-overview/Services/A", {}, [(job, 3)]),
                ("mesh-overview/Services/B", {}, [(job, 0.067)]),
                ("mesh-overview/Services/D", {}, [(job, 0.498)]),
                ("mesh-overview/Topology/edges", {}, [
                    ({"id": "caller>things", "source": "caller", "target": "things", "color": RED}, 2)]),
                ("mesh-service/Calls without fault/A", job, [({}, 0.933)]),
                ("mesh-service/p99 latency/A", job, [({}, 0.498)]),
                ("mesh-service/Mean latency/A", job, [({}, 0.4)]),
                ("mesh-service/In progress/A", job, [({}, 7)]),
                ("mesh-service/In progress by instance/A", job, [({"instance": "things"}, 4)]),
                ("mesh-service/In progress by instance/B", job, [({"instance": "things"}, 25)]),
                ("mesh-service/Completed by code/A", job, [
                    ({"grpc_code": code}, value) for code, value in ((ok, 2.6), (fault, 0.2), (cancel, 0.2))]),
                ("mesh-service/Caller-error share/A", job, [({}, 0.067)]),
                ("mesh-service/Methods/B", job, [
                    ({**of, **typed}, 0.1), ({**watched, "grpc_type": stream}, 0)]),
                ("mesh-service/Streams open/A", job, [(watched, 3)]),
                ("mesh-service/Messages per stream/A", job, [(watched, 4)]),
                ("mesh-method/Fault share/A", of, [(job, 0.1)]),
                ("mesh-method/Callers/A", of, [({"job": "caller"}, 2)]),
                ("mesh-client/Dependencies/A", caller, [({**edge, "target": "things"}, 2)]),
                ("mesh-client/Dependencies/B", caller, [(edge, 0.1)]),
                ("mesh-client/In progress/A", caller, [(edge, 4)]),
                ("mesh-client/Client minus server latency/A", caller, [({"grpc_service": of["grpc_service"]}, 0.1)]),
                ("mesh-client/Faults beyond the server's/A", caller, [
                    ({"source": "caller", "target": "things"}, 0.033)]),
                ("mesh-slo/Availability over the range/A", {}, [(job, 0.933)]),
                ("mesh-slo/Calls under 250 ms/A", {}, [(job, 0)]),
            ]
            with self.subTest(unary):
                self.shows(others(spelling), asked)

    def test_a_service_without_traffic_has_no_share_and_no_latency(self):
        job = {"job": "idle"}
        nothing = ["mesh-overview/Calls without fault/A", "mesh-overview/p99 latency/A", "mesh-overview/Services/B",
                   "mesh-overview/Services/C", "mesh-overview/Services/D", "mesh-service/Mean latency/A",
                   "mesh-service/p99 latency/A", "mesh-service/Latency/C", "mesh-service/Methods/C",
                   "mesh-service/Latency distribution/G", "mesh-slo/Availability over the range/A",
                   "mesh-slo/Calls under 250 ms over the range/A", "mesh-slo/Burn rate over 5m and 1h/A"]
        asked = [(where, job, []) for where in nothing]
        self.shows(idle(), [*asked, ("mesh-overview/Services/A", job, [(job, 0)])])

    def test_a_service_is_alive_late_or_never_seen(self):
        made = [series("mesh_heartbeat_expected_interval_seconds", {"job": "edge", "service": name}, 10)
                for name in ("alive", "late", "never")]
        for name, seen in (("alive", AT - 29), ("late", AT - 31)):
            made += [series("mesh_heartbeat_last_seen_timestamp_seconds", {"job": "edge", "service": name}, seen)]
        rows = {"alive": 1, "late": 0, "never": -1}
        self.shows(made, [
            ("mesh-heartbeats/Alive/A", {}, [({"service": name}, value) for name, value in rows.items()]),
            ("mesh-heartbeats/Age of the last heartbeat, in intervals/A", {}, [
                ({"service": "alive"}, 2.9), ({"service": "late"}, 3.1)]),
            ("mesh-overview/Late heartbeats/A", {}, [({}, 1)])])

    def test_the_table_of_tasks_shows_the_values_that_its_alerts_use(self):
        runs, stopped, new = ({"job": job, "instance": "i", "task": "heartbeat"} for job in ("runs", "stopped", "new"))
        made = [*scheduled(runs, seen=AT - 51), *scheduled(stopped, enabled=0, seen=AT - 51), *scheduled(new)]
        self.shows(made, [
            ("mesh-heartbeats/Tasks/A", {}, [(runs, 1), (stopped, 0), (new, 1)]),
            ("mesh-heartbeats/Tasks/C", {}, [(runs, 7), (new, 7)]),
            ("mesh-heartbeats/Tasks/E", {}, [(runs, 5.1), (stopped, 5.1)]),
            ("mesh-heartbeats/Tasks/D", {}, [(runs, 1000 * (AT - 51)), (stopped, 1000 * (AT - 51))])])


if __name__ == "__main__":
    unittest.main()
