"""The services' own programs and a Prometheus beside them, on free ports of 127.0.0.1.

The services are those of deploy/services.json; a service's name is also its program's and its Prometheus job.
"""

import json
import os
import re
import socket
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

from model import ROOT

PATIENCE = 20
CONFIG = (ROOT / "prometheus.yml").read_text()
SERVICES = {service["name"]: service for service in json.loads((ROOT / "deploy/services.json").read_text())}
JOBS = list(SERVICES)
LEAVES = [name for name, service in SERVICES.items() if service["sends_heartbeats"]]


def free_ports(number):
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(number)]
    ports = [one.getsockname()[1] for one in held]
    for one in held:
        one.close()
    return ports


def get(url, body=None):
    """Status and body of a response, or None without one; a `body` is posted as JSON."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"} if data else {})
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()
    except OSError:
        return None


def wait_for(url):
    end = time.monotonic() + PATIENCE
    while (get(url) or (0,))[0] != 200:
        if time.monotonic() > end:
            raise RuntimeError(f"{url} does not return 200 within {PATIENCE} s")
        time.sleep(0.05)


class Mesh:
    """Runs the programs and Prometheus inside a `with` block."""

    def __init__(self, programs, scratch):
        self.programs, self.scratch = Path(programs).resolve(), Path(scratch)
        ports = iter(free_ports(3 * len(JOBS) + 1))
        self.grpc = {job: f"127.0.0.1:{next(ports)}" for job in JOBS}
        self.scrape = {job: f"127.0.0.1:{next(ports)}" for job in JOBS}
        self.http = {job: f"127.0.0.1:{next(ports)}" for job in JOBS}
        self.prometheus = f"127.0.0.1:{next(ports)}"
        self.url = f"http://{self.prometheus}"
        self.running = {}

    # A program reads only the variables of its own settings.
    def settings(self, job):
        urls = {one["variable"]: f"http://{self.grpc[one['service']]}" for one in SERVICES[job]["upstreams"]}
        own = {"GRPC_ADDRESS": self.grpc[job], "SCRAPE_ADDRESS": self.scrape[job], "HTTP_ADDRESS": self.http[job],
               "DATA_DIR": str(self.scratch / job), "EXPECTED_SERVICES": ",".join(LEAVES)}
        return {**urls, **own, "LOG_FORMAT": "json", "PATH": os.environ["PATH"]}

    def start(self, job):
        with (self.scratch / f"{job}.log").open("ab") as log:
            self.running[job] = subprocess.Popen(
                [self.programs / job],
                env=self.settings(job),
                cwd=self.scratch,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        wait_for(f"http://{self.scrape[job]}/readyz")

    def stop(self, name):
        program = self.running.pop(name)
        program.terminate()
        return program.wait(PATIENCE)

    def start_prometheus(self):
        text = re.sub(r"- /etc/prometheus/rules", f"- {ROOT}/deploy/prometheus/rules", CONFIG)
        text = text.replace("127.0.0.1:9090", self.prometheus)
        for job in JOBS:
            text = re.sub(rf'"{job}:\d+"', f'"{self.scrape[job]}"', text)
        config = self.scratch / "prometheus.yml"
        config.write_text(text)
        log = (self.scratch / "prometheus.log").open("wb")
        self.running["prometheus"] = subprocess.Popen(
            [
                "prometheus",
                f"--config.file={config}",
                f"--storage.tsdb.path={self.scratch}/tsdb",
                f"--web.listen-address={self.prometheus}",
                "--enable-feature=exemplar-storage",
            ],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
        wait_for(f"{self.url}/-/ready")

    def __enter__(self):
        try:
            for job in JOBS:
                self.start(job)
            self.start_prometheus()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for name in list(self.running):
            self.stop(name)

    def query(self, expression):
        """The result of an instant query: a list of (labels, value)."""
        body = json.loads(get(f"{self.url}/api/v1/query?" + urllib.parse.urlencode({"query": expression}))[1])
        return [(one["metric"], float(one["value"][1])) for one in body["data"]["result"]]

    def save_pages(self, folder):
        folder.mkdir()
        for job in JOBS:
            (folder / f"{job}.txt").write_bytes(get(f"http://{self.scrape[job]}/metrics")[1])
