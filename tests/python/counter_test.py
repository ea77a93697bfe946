"""Calls the counter with Python's grpcio: streams with gzip, echoed metadata, cancellation.

Usage: counter_test.py <folder of the programs>
"""

import importlib
import tempfile
import time
import unittest
from pathlib import Path

import grpc

import programs
from programs import PATIENCE, PROTO, Program

EVERY_BYTE = bytes(range(256))


def setUpModule():
    global pb2, pb2_grpc
    output = tempfile.TemporaryDirectory()
    unittest.addModuleCleanup(output.cleanup)
    programs.compile_protos(PROTO, Path(output.name))
    pb2 = importlib.import_module("vitalmesh.counter.v1.counter_pb2")
    pb2_grpc = importlib.import_module("vitalmesh.counter.v1.counter_pb2_grpc")


class CounterTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.counter = Program("counter", "--echo-metadata", "on")
        cls.addClassCleanup(cls.counter.close)
        cls.stub = pb2_grpc.CounterServiceStub(cls.counter.channel)

    def assert_fails(self, code, message, call):
        with self.assertRaises(grpc.RpcError) as raised:
            call()
        self.assertEqual((raised.exception.code(), raised.exception.details()), (code, message))
        return raised.exception

    def test_each_kind_of_call_succeeds(self):
        self.assertEqual(self.stub.Increase(pb2.IncreaseRequest(num=41), timeout=PATIENCE).num, 42)
        nums = (pb2.SumRequest(num=num) for num in range(1000))
        answer = self.stub.Sum(nums, timeout=PATIENCE)
        self.assertEqual((answer.total, answer.count), (499_500, 1000))
        numbers = self.stub.Countdown(pb2.CountdownRequest(**{"from": 1000}), timeout=PATIENCE)
        self.assertEqual([number.num for number in numbers], list(range(1000, -1, -1)))

    def test_a_stream_responds_in_order_with_and_without_gzip(self):
        for compression in (grpc.Compression.NoCompression, grpc.Compression.Gzip):
            requests = (pb2.IncreaseStreamRequest(num=num, request_id=num + 7) for num in range(1000))
            answers = self.stub.IncreaseStream(requests, timeout=PATIENCE, compression=compression)
            received = [(answer.num, answer.request_id) for answer in answers]
            self.assertEqual(received, [(num + 1, num + 7) for num in range(1000)])

    def test_a_request_with_an_id_fails_alone_and_one_without_ends_the_stream(self):
        last = 2**31 - 1
        no_next = f"no int32 comes after {last}; send at most {last - 1}"
        requests = [pb2.IncreaseStreamRequest(num=last, request_id=5), pb2.IncreaseStreamRequest(num=last)]
        answers = self.stub.IncreaseStream(iter(requests), timeout=PATIENCE)
        failed = next(answers)
        self.assertEqual((failed.request_id, failed.failure.code, failed.failure.message), (5, 11, no_next))
        self.assert_fails(grpc.StatusCode.OUT_OF_RANGE, no_next, lambda: next(answers))

    def test_metadata_is_echoed_with_its_bytes_and_without_secrets(self):
        sent = [("x-text", "one"), ("x-text", "two"), ("x-bytes-bin", EVERY_BYTE), ("authorization", "Bearer hidden")]
        expected = [("echo-x-bytes-bin", EVERY_BYTE), ("echo-x-text", "one"), ("echo-x-text", "two")]

        def echoed(metadata):
            return sorted((one.key, one.value) for one in metadata if one.key.startswith("echo-x-"))

        _, call = self.stub.Increase.with_call(pb2.IncreaseRequest(num=1), metadata=sent, timeout=PATIENCE)
        self.assertEqual(echoed(call.initial_metadata()), expected)
        self.assertNotIn("hidden", str(call.initial_metadata()))
        numbers = self.stub.Countdown(pb2.CountdownRequest(), metadata=sent, timeout=PATIENCE)
        self.assertEqual(echoed(numbers.initial_metadata()), expected)
        refused = self.assert_fails(
            grpc.StatusCode.INVALID_ARGUMENT, "from is -1; send 0 to 2147483647",
            lambda: list(self.stub.Countdown(pb2.CountdownRequest(**{"from": -1}), metadata=sent, timeout=PATIENCE)))
        self.assertEqual(echoed(refused.trailing_metadata()), expected)

    def test_cancellation_stops_the_generator(self):
        labels = 'grpc_method="Countdown",grpc_service="vitalmesh.counter.v1.CounterService",grpc_type="server_stream"'
        canceled = f'grpc_server_handled_total{{grpc_code="Canceled",{labels}}}'
        made = f"grpc_server_msg_sent_total{{{labels}}}"
        before = self.counter.metrics()
        numbers = self.stub.Countdown(pb2.CountdownRequest(**{"from": 10_000_000}))
        self.assertEqual(next(numbers).num, 10_000_000)
        numbers.cancel()
        end = time.monotonic() + PATIENCE
        while (after := self.counter.metrics())[canceled] == before[canceled]:
            self.assertLess(time.monotonic(), end, "never cancelled")
        self.assertLess(after[made] - before[made], 10_000_000)


if __name__ == "__main__":
    programs.main(__doc__)
