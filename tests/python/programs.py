"""The mesh's programs as child processes, and stubs compiled from the protos of this repository."""

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import unittest
import urllib.request
from pathlib import Path

import grpc
from grpc_tools import protoc

ROOT = Path(__file__).resolve().parents[2]
PROTO = ROOT / "proto"
PATIENCE = 15
SERVICES = {service["name"]: service for service in json.loads((ROOT / "deploy/services.json").read_text())}
LEAVES = [name for name, service in SERVICES.items() if service["sends_heartbeats"]]

folder = ROOT / "target/debug"


class Program:
    """A service's program on free ports."""

    def __init__(self, name, *flags):
        ports = ["--grpc-address", "--scrape-address"] + (["--http-address"] if SERVICES[name]["http_port"] else [])
        words = [word for port in ports if port not in flags for word in (port, "127.0.0.1:0")]
        self.process = subprocess.Popen(
            [folder / name, *words, "--log-format", "json", *flags],
            env={}, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        )
        self.log = []
        for line in self.process.stderr:
            self.log.append(line)
            event = json.loads(line)
            if event.get("message") == "serving":
                self.address, self.scrape = event["grpc"], event["scrape"]
                self.http = event.get("http")
                break
        else:
            raise AssertionError(f"{name} does not serve: {self.log}")
        self.reader = threading.Thread(target=lambda: self.log.extend(self.process.stderr), daemon=True)
        self.reader.start()
        self.channel = grpc.insecure_channel(self.address)

    def metrics(self):
        """The values of the metrics page, by series as it is written there."""
        with urllib.request.urlopen(f"http://{self.scrape}/metrics", timeout=PATIENCE) as page:
            lines = page.read().decode().splitlines()
        return {series: float(value) for series, value in (line.rsplit(" ", 1) for line in lines if line[0] != "#")}

    def terminate(self):
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE)

    def close(self):
        self.channel.close()
        self.process.kill()
        self.process.wait()
        self.reader.join()
        self.process.stderr.close()


class Mesh(dict):
    """The program of every service by name; they run until the test class ends."""

    def __init__(self, test_class, *flags):
        data = tempfile.TemporaryDirectory()
        test_class.addClassCleanup(data.cleanup)
        # Chosen before the start, because services call each other in circles.
        addresses = dict(zip(SERVICES, free_addresses(len(SERVICES))))
        for name, service in SERVICES.items():
            own = ["--grpc-address", addresses[name]]
            for upstream in service["upstreams"]:
                own += [upstream["flag"], f"http://{addresses[upstream['service']]}"]
            if service["keeps_data"]:
                own += ["--data-dir", f"{data.name}/{name}"]
            if service["role"] == "edge":
                own += ["--expected-services", ",".join(LEAVES)]
            self[name] = Program(name, *own, *flags)
            test_class.addClassCleanup(self[name].close)


def free_addresses(number):
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(number)]
    addresses = [f"127.0.0.1:{one.getsockname()[1]}" for one in held]
    for one in held:
        one.close()
    return addresses


def compile_protos(root, output):
    """Compiles all protos below `root` into `output`, and makes the modules importable."""
    protos = sorted(str(proto) for proto in root.rglob("*.proto"))
    google = Path(protoc.__file__).parent / "_proto"
    words = ["protoc", f"-I{root}", f"-I{google}", f"--python_out={output}", f"--grpc_python_out={output}"]
    if protoc.main([*words, *protos]) != 0:
        raise AssertionError(f"protoc cannot compile {protos}")
    sys.path.insert(0, str(output))


def main(usage):
    """Runs the tests of the calling script with the programs in the folder of its first argument."""
    global folder
    if len(sys.argv) < 2 or not os.path.isdir(sys.argv[1]):
        sys.exit(usage)
    folder = Path(sys.argv.pop(1))
    unittest.main("__main__", verbosity=2)
