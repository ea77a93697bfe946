#!/usr/bin/env python3
"""Dashboards of a service with java-grpc-prometheus, scraped with the relabelling of docs/DASHBOARDS.md: latencies,
codes and outgoing calls. Needs prometheus.
"""

import http.server
import re
import subprocess
import tempfile
import textwrap
import threading
import time
import unittest
from pathlib import Path

import mesh
import model
from panels import question
from prom import Prometheus

PATIENCE = 20
DOCUMENT = (model.ROOT / "docs/DASHBOARDS.md").read_text()
RENAMED = re.search(r"```yaml\n(metric_relabel_configs:.*?)```", DOCUMENT, re.S)[1]
# Panels, and the codes they show for the service; None for panels with a plain number.
SHOWN = {
    "mesh-service/Completed by code/A": {"OK", "INTERNAL"},
    "mesh-service/p99 latency/A": {None},
    "mesh-service/Calls without fault/A": {None},
    "mesh-method/Fault share/A": {None},
    "mesh-client/Completed by code/A": {"OK", "UNAVAILABLE"},
    "mesh-client/Faults by code/A": {"UNAVAILABLE"},
    "mesh-client/p99 latency/A": {None},
}
METHOD = {"grpc_service": "java.v1.Things", "grpc_method": "Get"}


def page(old, calls):
    """A page of java-grpc-prometheus; `old` versions have the label code without grpc_code."""
    of = 'grpc_type="UNARY",grpc_service="java.v1.Things",grpc_method="Get"'

    def ended(name, code, count):
        labels = f'{of},code="{code}"' + ("" if old else f',grpc_code="{code}"')
        return f"{name}{{{labels}}} {count}"

    def took(name):
        buckets = [f'{name}_bucket{{{of},le="{bound}"}} {calls}' for bound in ("0.5", "1.0", "+Inf")]
        return [f'{name}_bucket{{{of},le="0.25"}} 0', *buckets, f"{name}_count{{{of}}} {calls}"]

    client = "grpc_client_completed" + ("" if old else "_total")
    lines = [
        f"grpc_server_started_total{{{of}}} {calls}",
        ended("grpc_server_handled_total", "OK", 3 * calls // 4),
        ended("grpc_server_handled_total", "INTERNAL", calls // 4),
        *took("grpc_server_handled_latency_seconds"),
        f"grpc_client_started_total{{{of}}} {calls}",
        ended(client, "OK", calls // 2),
        ended(client, "UNAVAILABLE", calls // 2),
        *took("grpc_client_completed_latency_seconds"),
        # Not a gRPC metric: its label code must not change.
        f'promhttp_metric_handler_requests_total{{code="200"}} {calls}',
    ]
    return "\n".join(lines) + "\n"


class Page(http.server.BaseHTTPRequestHandler):
    old, began = False, time.monotonic()

    def do_GET(self):
        body = page(self.old, 40 * int(time.monotonic() - self.began)).encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; version=0.0.4")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Others(unittest.TestCase):
    def target(self, old):
        """Serves such a page and returns its address."""
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (Page,), {"old": old}))
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        threading.Thread(target=server.serve_forever).start()
        return f"127.0.0.1:{server.server_port}"

    def prometheus(self, targets):
        """Runs a Prometheus that scrapes each job every second."""
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        text = "global: {scrape_interval: 1s}\nscrape_configs:\n"
        for job, address in targets.items():
            text += f"- job_name: {job}\n  static_configs: [{{targets: ['{address}']}}]\n"
            text += textwrap.indent(RENAMED, "  ")
        config = Path(folder.name) / "prometheus.yml"
        config.write_text(text)
        (port,) = mesh.free_ports(1)
        flags = [f"--config.file={config}", f"--storage.tsdb.path={folder.name}/tsdb"]
        running = subprocess.Popen(
            ["prometheus", *flags, f"--web.listen-address=127.0.0.1:{port}"], stderr=subprocess.DEVNULL
        )
        self.addCleanup(running.wait)
        self.addCleanup(running.terminate)
        mesh.wait_for(f"http://127.0.0.1:{port}/-/ready")
        return Prometheus(f"http://127.0.0.1:{port}")

    def test_java_metrics_are_shown_after_relabelling(self):
        jobs = {"now": False, "before-grpc-code": True}
        prometheus = self.prometheus({job: self.target(old) for job, old in jobs.items()})
        end = time.monotonic() + PATIENCE
        for job in jobs:
            with self.subTest(job):
                while (found := shown(prometheus, job)) != SHOWN and time.monotonic() < end:
                    time.sleep(0.5)
                self.assertEqual(found, SHOWN)
        other, _ = prometheus.instant("promhttp_metric_handler_requests_total", time.time())
        self.assertEqual([row["metric"].get("grpc_code") for row in other["data"]["result"]], [None, None])


def shown(prometheus, job):
    found = {}
    for where in SHOWN:
        body, _ = prometheus.instant(question(where, {"job": job, **METHOD}), time.time())
        found[where] = {row["metric"].get("grpc_code") for row in body["data"]["result"]}
    return found


if __name__ == "__main__":
    unittest.main()
