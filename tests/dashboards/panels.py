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
from prom import fill, for_panel, query_result, windows
from synthetic import AT, EVERY, GO, MANY, PYTHON, idle, others, rest, scheduled, series

BOARDS = {path.stem: model.load(path) for path in model.DASHBOARDS}
RED = "#C4162A"


def question(where, choice):
    """The query of a panel's target, as Grafana sends it."""
    board = BOARDS[where.split("/")[0]]
    query = next(query for query in model.expressions(board) if query.where == where)
    chosen = {"__range": "300s", **windows(EVERY), "job": ".*", "interval": "5s"}
    chosen |= {one["name"]: one["query"] for one in board["templating"]["list"] if one["type"] == "constant"}
    return fill(query_result(query.expr) or query.expr, for_panel(query.panel or {}, {**chosen, **choice}))


def labelled(labels):
    return "{" + ",".join(f'{name}="{value}"' for name, value in labels.items()) + "}"


def expected(where, choice, rows, to):
    """What promtool must find for a panel, rounded `to` this."""
    fine, asked = to < 0.001, f"({question(where, choice)})"
    asked = f"round({asked} * {1 / to:.0f})" if fine else f"round({asked}, {to})"
    samples = [{"labels": labelled(labels), "value": round(value / to) if fine else value} for labels, value in rows]
    return {"expr": asked, "eval_time": f"{AT}s", "exp_samples": samples}


class Panels(unittest.TestCase):
    def shows(self, made, asked, to=0.001, recorded=True):
        """Checks each (panel, variables, expected (labels, value) pairs) on these series."""
        asked = [expected(*one, to) for one in asked]
        case = {"interval": f"{EVERY}s", "input_series": made, "promql_expr_test": asked}
        rules = [str(path) for path in model.RULES if path.stem == "recording" and recorded]
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
                ("mesh-overview/Services/C", {}, [(job, 0.498)]),
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
                    ({"source": "caller", "target": "things"}, 0)]),
                ("mesh-slo/Availability over the range/A", {}, [(job, 0.933)]),
                ("mesh-slo/Availability over the range/B", {}, []),
                ("mesh-overview/Services/D", {}, []),
                ("mesh-service/REST rate/A", job, []),
                ("mesh-service/$streams", job, [({}, 1)]),
                ("mesh-slo/Calls under 250 ms/A", {}, [(job, 0)]),
            ]
            with self.subTest(unary):
                self.shows(others(spelling), asked)

    def test_a_service_without_traffic_has_no_share_and_no_latency(self):
        job = {"job": "idle"}
        nothing = ["mesh-overview/Calls without fault/A", "mesh-overview/p99 latency/A", "mesh-overview/Services/B",
                   "mesh-overview/Services/C", "mesh-service/Mean latency/A",
                   "mesh-service/p99 latency/A", "mesh-service/Latency/C", "mesh-service/Methods/C",
                   "mesh-service/Latency distribution/G", "mesh-slo/Availability over the range/A",
                   "mesh-slo/Calls under 250 ms over the range/A", "mesh-slo/Burn rate over 5m and 1h/A"]
        asked = [(where, job, []) for where in nothing]
        self.shows(idle(), [*asked, ("mesh-overview/Services/A", job, [(job, 0)]),
                            ("mesh-service/$streams", job, [({}, 0)])])

    def test_rest_is_shown_beside_grpc_and_only_5xx_are_faults(self):
        job, route = {"job": "edge"}, {"method": "GET", "route": "/proxy/{name}"}
        books = {"method": "POST", "route": "/books"}
        asked = [
            ("mesh-overview/REST rate/A", {}, [({}, 10)]),
            ("mesh-overview/REST without fault/A", {}, [({}, 0.8)]),
            ("mesh-overview/Calls without fault/A", {}, [({}, 1)]),
            ("mesh-overview/Services/A", {}, [(job, 1)]),
            ("mesh-overview/Services/B", {}, [(job, 0)]),
            ("mesh-overview/Services/D", {}, [(job, 10)]),
            ("mesh-overview/Services/E", {}, [(job, 0.2)]),
            ("mesh-overview/Services/F", {}, [(job, 0.498)]),
            ("mesh-overview/Calls by service/B", {}, [(job, 10)]),
            ("mesh-overview/Fault share by service/B", {}, [(job, 0.2)]),
            ("mesh-overview/Topology/edges", {}, [
                ({"id": "REST-clients>edge", "source": "REST-clients", "target": "edge", "color": RED}, 10)]),
            ("mesh-service/Calls without fault/A", job, [({}, 1)]),
            ("mesh-service/REST rate/A", job, [({}, 10)]),
            ("mesh-service/REST without fault/A", job, [({}, 0.8)]),
            ("mesh-service/REST requests by route/A", job, [(route, 10)]),
            ("mesh-service/REST requests by status/A", job, [
                ({"status": status}, value) for status, value in (("200", 4), ("404", 2), ("499", 2), ("503", 2))]),
            ("mesh-service/REST fault share by route/A", job, [(route, 0.2)]),
            ("mesh-service/REST latency/A", job, [(route, 0.498)]),
            ("mesh-service/Routes/A", job, [(route, 10), (books, 0)]),
            ("mesh-service/Routes/B", job, [(route, 0.2)]),
            ("mesh-service/Routes/C", job, [(route, 0.4)]),
            ("mesh-slo/Availability over the range/A", {}, [(job, 1)]),
            ("mesh-slo/Availability over the range/B", {}, [(job, 0.8)]),
            ("mesh-slo/Error budget left/A", {}, [
                ({**job, "protocol": "gRPC"}, 1), ({**job, "protocol": "REST"}, -19)]),
            ("mesh-slo/Time until the budget is gone/A", {}, [({**job, "protocol": "REST"}, 0)]),
            ("mesh-slo/Burn rate over 5m and 1h/A", {}, [({**job, "protocol": "REST"}, 20)]),
            ("mesh-slo/Faults/B", {}, [({**job, "status": "503"}, 2)]),
        ]
        self.shows(rest(route, books), asked)

    def test_a_quantile_in_the_first_bucket_is_just_below_its_bound_and_none_is_invented(self):
        """90 of 100 calls took at most 10 µs, 10 up to 50 µs: p50 is under 10 µs, and p95 is interpolated."""
        of = {"job": "fast", "instance": "i", "grpc_service": "fast.v1.Fast", "grpc_method": "Do", "grpc_type": "unary"}
        made = [series("grpc_server_handling_seconds_bucket", {**of, "le": bound}, 0, step)
                for bound, step in (("1e-05", 90), ("5e-05", 100), ("+Inf", 100))]
        # Other libraries begin at 5 ms.
        slow = {**of, "job": "python", "grpc_service": "python.v1.Slow"}
        made += [series("grpc_server_handling_seconds_bucket", {**slow, "le": bound}, 0, 7)
                 for bound in ("0.005", "+Inf")]
        fast, python = {"job": "fast"}, {"job": "python"}
        of = {name: of[name] for name in ("grpc_service", "grpc_method", "grpc_type")}
        nano = 1e-9
        self.shows(made, [
            ("mesh-service/Latency/A", fast, [({}, 9999.99 * nano)]),
            ("mesh-service/Latency/B", fast, [({}, 30e-6)]),
            ("mesh-service/Methods/C", fast, [(of, 9999.99 * nano)]),
            ("mesh-service/Latency distribution/D", fast, [({}, 9999.99 * nano)]),
            ("mesh-service/p99 latency/A", python, [({}, 0.00499999500)]),
            ("mesh-service/Latency/A", python, [({}, 0.00499999500)]),
        ], to=nano / 100)

    def test_the_difference_between_client_and_server_is_shown_from_one_call_per_second(self):
        for step, rows in ((5, [({"grpc_service": "a.v1.A"}, 0.5)]), (4, [])):
            of, made = {"grpc_service": "a.v1.A", "grpc_method": "Do", "grpc_type": "unary"}, []
            for side, spent in (("client", 2), ("server", 1)):
                own = {"job": side, **of}
                made += [series(f"grpc_{side}_handled_total", {**own, "grpc_code": "OK"}, 0, step),
                         series(f"grpc_{side}_handling_seconds_count", own, 0, step),
                         series(f"grpc_{side}_handling_seconds_sum", own, 0, spent * step / 2)]
            with self.subTest(step):
                self.shows(made, [("mesh-client/Client minus server latency/A", {"job": "client"}, rows)])

    def test_services_in_one_process_are_shown_as_one_process(self):
        for ids, share, names in (((7, 7), 2, ["the one process of all services"]), ((7, 8), 1, ["edge", "time"])):
            made = []
            for job, process in zip(("edge", "time"), ids, strict=True):
                made += [series("mesh_process_id", {"job": job, "instance": job}, process),
                         series("process_threads", {"job": job, "instance": job}, 9),
                         series("tokio_alive_tasks", {"job": job, "instance": job}, 9)]
            rows = [({"job": name, **({} if " " in name else {"instance": name})}, 9) for name in names]
            with self.subTest(ids):
                self.shows(made, [("mesh-runtime/Processes/A", {"job": "edge"}, [({}, share)]),
                                  ("mesh-runtime/Threads/A", {"job": "edge|time"}, rows),
                                  ("mesh-runtime/Tokio tasks/A", {"job": "edge|time"}, rows)])

    def test_only_what_burns_has_hours_left(self):
        """Faults at 0.5, 2 and 0 times what the objective of 99 % allows."""
        made = []
        for job, ratio in (("below", 0.005), ("burns", 0.02), ("healthy", 0)):
            of = {"job": job, "protocol": "gRPC"}
            made += [series("job:slo_objective:ratio", of, 0.99), series("job:slo_errors:ratio_rate3d", of, 0.0075),
                     series("job:slo_errors:ratio_rate1h", of, ratio), series("job:slo_errors:ratio_rate5m", of, ratio)]
        burning = {"job": "burns", "protocol": "gRPC"}
        self.shows(made, [
            ("mesh-slo/Time until the budget is gone/A", {}, [(burning, 9 * 3600)]),
            ("mesh-slo/Burn rate over 5m and 1h/A", {}, [({**burning, "job": "below"}, 0.5), (burning, 2)]),
        ], recorded=False)

    def test_each_instance_is_alive_late_gone_or_its_service_never_seen(self):
        """Without the label service_instance, as of an older edge, each service is one instance."""
        states = ("alive", "late")
        for given in (lambda name: {"service": name}, lambda name: {"service": "time", "service_instance": name}):
            made = [series("mesh_heartbeat_expected_interval_seconds", {"job": "edge", **given(name)}, 10)
                    for name in states]
            made += [series("mesh_heartbeat_expected_interval_seconds", {"job": "edge", "service": "never"}, 10)]
            for name, seen in (("alive", AT - 29), ("late", AT - 31)):
                made += [series("mesh_heartbeat_last_seen_timestamp_seconds", {"job": "edge", **given(name)}, seen)]
            gone = {"service": "time", "service_instance": "gone"}
            made += [{**series("mesh_heartbeat_expected_interval_seconds", {"job": "edge", **gone}, 10),
                      "values": f"10x30 stale _x{MANY - 31}"}]
            with self.subTest(given("alive")):
                self.shows(made, [
                    ("mesh-heartbeats/Alive/A", {}, [
                        (given("alive"), 1), (given("late"), 0), ({"service": "never"}, -1), (gone, -2)]),
                    ("mesh-heartbeats/Age of the last heartbeat, in intervals/A", {}, [
                        (given("alive"), 2.9), (given("late"), 3.1)]),
                    ("mesh-heartbeats/Expected interval/A", {}, [
                        ({"service": name}, 10) for name in {*(given(one)["service"] for one in states), "never"}]),
                    *((f"mesh-overview/Heartbeats/{ref}", {}, [({}, 1)]) for ref in "ABC")])

    def test_the_table_of_tasks_shows_the_values_that_its_alerts_use(self):
        runs, stopped, new = ({"job": job, "instance": "i", "task": "heartbeat"} for job in ("runs", "stopped", "new"))
        made = [*scheduled(runs, seen=AT - 51), *scheduled(stopped, enabled=0, seen=AT - 51), *scheduled(new)]
        self.shows(made, [
            ("mesh-heartbeats/Tasks/B", {}, [(runs, 7), (stopped, -1), (new, 7)]),
            ("mesh-heartbeats/Tasks/D", {}, [(runs, 5.1), (stopped, 5.1)]),
            ("mesh-heartbeats/Tasks/C", {}, [(runs, 51), (stopped, 51)])])


if __name__ == "__main__":
    unittest.main()
