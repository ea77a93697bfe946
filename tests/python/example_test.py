"""Runs examples/python as its README describes, against the mesh's programs.

Usage: example_test.py <folder of the programs>
"""

import importlib
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import unittest
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc

import programs
from programs import PATIENCE, ROOT, Mesh

EXAMPLE = ROOT / "examples/python"
LONGEST_RUN = 60

EXPECTED = """\
unary: anA
error: NOT_FOUND: fault on demand: .*
deadline: DEADLINE_EXCEEDED
(server stream: 18\\d\\d .+
)+cancelled after: \\[1, 2, 3\\]
stored: Notes by Ada Lovelace
client stream: 5050 from 100
two-way stream: 41 -> 42
two-way stream: 2147483647 -> OUT_OF_RANGE
two-way stream: 7 -> 8
rest: anA
rest stream: 1
rest stream: 2
rest stream: 3
"""


class Moody(grpc.GenericRpcHandler):
    """A server that fails every call twice and succeeds at the third attempt."""

    ANSWERS_AT = 3

    def __init__(self):
        self.attempts = 0
        self.server = grpc.server(ThreadPoolExecutor(1), handlers=[self])
        self.address = f"127.0.0.1:{self.server.add_insecure_port('127.0.0.1:0')}"
        self.server.start()

    def service(self, _):
        return grpc.unary_unary_rpc_method_handler(self.answer)

    def answer(self, _, context):
        self.attempts += 1
        if self.attempts < self.ANSWERS_AT:
            context.abort(grpc.StatusCode.UNAVAILABLE, "not yet")
        return b""

    def stop(self):
        self.server.stop(None).wait()


class ExampleTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.mesh = Mesh(cls)
        tree = tempfile.TemporaryDirectory()
        cls.addClassCleanup(tree.cleanup)
        cls.folder = Path(tree.name) / "examples/python"
        shutil.copytree(EXAMPLE, cls.folder, ignore=shutil.ignore_patterns("vitalmesh"))
        shutil.copytree(ROOT / "proto", Path(tree.name) / "proto")
        [command] = re.findall(r"^python3( -m grpc_tools.*)$", (EXAMPLE / "README.md").read_text(), re.MULTILINE)
        subprocess.run(f"{shlex.quote(sys.executable)}{command}", shell=True, cwd=cls.folder, check=True)

    def client(self, *flags):
        mesh = self.mesh
        addresses = {
            "--revert-name": mesh["revert-name"].address, "--bookstore": mesh["bookstore"].address,
            "--counter": mesh["counter"].address, "--edge-http": mesh["edge"].http,
            "--bookstore-http": mesh["bookstore"].http,
        }
        words = [word for pair in addresses.items() for word in pair]
        return subprocess.run(
            [sys.executable, "client.py", *words, *flags], cwd=self.folder, env=os.environ | {"PYTHONUNBUFFERED": "1"},
            text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=LONGEST_RUN,
        )

    def test_the_client_prints_the_result_of_each_call(self):
        ended = self.client()
        self.assertRegex(ended.stdout, f"\\A{EXPECTED}\\Z")
        self.assertEqual(ended.returncode, 0)

    def test_a_call_is_retried_only_on_request_and_only_if_that_is_safe(self):
        sys.path.insert(0, str(self.folder))
        self.addCleanup(sys.path.remove, str(self.folder))
        client = importlib.import_module("client")
        moody = Moody()
        self.addCleanup(moody.stop)
        reverted, stored = "/vitalmesh.revert_name.v1.RevertNameService/RevertName", "/x.Books/CreateBook"
        for retries, path, attempts in [(False, reverted, 1), (True, reverted, 3), (True, stored, 1)]:
            moody.attempts = 0
            with client.connect(moody.address, retries) as channel:
                if attempts == Moody.ANSWERS_AT:
                    self.assertEqual(channel.unary_unary(path)(b"", timeout=PATIENCE), b"")
                else:
                    with self.assertRaises(grpc.RpcError) as raised:
                        channel.unary_unary(path)(b"", timeout=PATIENCE)
                    self.assertEqual(raised.exception.code(), grpc.StatusCode.UNAVAILABLE)
            self.assertEqual(moody.attempts, attempts, (retries, path))


if __name__ == "__main__":
    programs.main(__doc__)
