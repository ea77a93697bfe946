"""Calls the mesh's programs as clients of older systems do, with stubs and names of the old contracts.

Usage: legacy_test.py <folder of the programs>
"""

import importlib
import json
import queue
import tempfile
import unittest
import urllib.request
from pathlib import Path

import grpc
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

import programs
from programs import PATIENCE, PROTO, Mesh, Program

# File in proto/legacy, service, program.
OLD = {
    "heartbeat": ("dj.grpc.heartbeat.HeartBeatApi", "edge"),
    "revert_name": ("dj.grpc.revert_name.RevertApi", "revert-name"),
    "time": ("dj.grpc.time.TimeProcedureApi", "time"),
    "book": ("BookController", "bookstore"),
    "python_to_rust_simple": ("python_to_rust_simple.PythonToRustSimpleService", "counter"),
    "python_to_python_simple": ("python_to_python_simple.Simple_python_python", "counter"),
    "python_to_python_two_way_stream": (
        "python_to_python_two_way_stream.Two_way_stream_python_to_python", "counter",
    ),
}


def setUpModule():
    output = tempfile.TemporaryDirectory()
    unittest.addModuleCleanup(output.cleanup)
    programs.compile_protos(PROTO / "legacy", Path(output.name))


def messages(file):
    return importlib.import_module(f"{file}_pb2")


def stub(file, channel):
    service = OLD[file][0].rpartition(".")[2]
    return getattr(importlib.import_module(f"{file}_pb2_grpc"), f"{service}Stub")(channel)


def fields(descriptor):
    return [(field.name, field.number, field.type, field.is_repeated) for field in descriptor.fields]


class LegacyTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.mesh = Mesh(cls)

    def stub(self, file):
        return stub(file, self.mesh[OLD[file][1]].channel)

    def assert_fails(self, code, call, *arguments, **options):
        with self.assertRaises(grpc.RpcError) as raised:
            call(*arguments, timeout=PATIENCE, **options)
        self.assertEqual(raised.exception.code(), code, raised.exception.details())
        return raised.exception.details()

    # Heartbeat

    def test_an_old_beat_is_stored(self):
        request = messages("heartbeat").BeatRequest
        answer = self.stub("heartbeat").BeatHeart(request(service_name="an-old-one"), timeout=PATIENCE)
        self.assertEqual(answer, messages("heartbeat").BeatResponse())
        with urllib.request.urlopen(f"http://{self.mesh['edge'].http}/heartbeats", timeout=PATIENCE) as page:
            self.assertIn("an-old-one", json.dumps(json.load(page)))

    def test_an_invalid_old_beat_is_rejected(self):
        request = messages("heartbeat").BeatRequest
        beat = self.stub("heartbeat").BeatHeart
        details = self.assert_fails(grpc.StatusCode.INVALID_ARGUMENT, beat, request(service_name="no name"))
        self.assertIn("service_name", details)

    # Names and time

    def test_a_name_is_reversed(self):
        request = messages("revert_name").RevertRequest
        revert = self.stub("revert_name").RevertName
        for name, reversed_name in [("Ana", "anA"), ("Rene\u0301", "e\u0301neR"), ("🇩🇪👍🏽", "👍🏽🇩🇪"), ("", "")]:
            self.assertEqual(revert(request(name=name), timeout=PATIENCE).name, reversed_name)

    def test_a_delay_ends_at_the_deadline(self):
        request = messages("revert_name").RevertRequest
        with self.assertRaises(grpc.RpcError) as raised:
            self.stub("revert_name").RevertName(request(name="Ana", delay=10), timeout=0.3)
        self.assertEqual(raised.exception.code(), grpc.StatusCode.DEADLINE_EXCEEDED)

    def test_faults_and_bad_arguments_keep_their_codes(self):
        request = messages("revert_name").RevertRequest
        revert = self.stub("revert_name").RevertName
        self.assert_fails(grpc.StatusCode.NOT_FOUND, revert, request(name="not_found"))
        self.assert_fails(grpc.StatusCode.INTERNAL, revert, request(name="exception"))
        self.assert_fails(grpc.StatusCode.INVALID_ARGUMENT, revert, request(name="Ana", delay=-1))

    def test_the_time_is_rfc_3339_with_microseconds(self):
        answer = self.stub("time").WhatTimeIs(messages("time").TimeRequest(), timeout=PATIENCE)
        self.assertRegex(answer.time, r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}[+-]\d\d:\d\d$")

    # Books

    def draft(self, **changes):
        fields = {"author": "Ada Lovelace", "country": "United Kingdom", "language": "English",
                  "link": "https://example.com/notes", "pages": 66, "title": "Notes", "year": 1843}
        return messages("book").BookCreateRequest(**fields | changes)

    def test_a_created_book_is_retrieved_with_its_id(self):
        books = self.stub("book")
        created = books.CreateBook(self.draft(), timeout=PATIENCE)
        self.assertGreater(created.book_id, 0)
        for field in ("author", "country", "language", "link", "pages", "title", "year"):
            self.assertEqual(getattr(created, field), getattr(self.draft(), field), field)
        request = messages("book").BookRetrieveRequest(book_id=created.book_id)
        self.assertEqual(books.RetrieveBook(request, timeout=PATIENCE), created)

    def test_invalid_and_missing_books_are_rejected(self):
        books = self.stub("book")
        for wrong in ({"author": ""}, {"title": ""}, {"link": "notes"}, {"pages": 0}):
            [field] = wrong
            details = self.assert_fails(grpc.StatusCode.INVALID_ARGUMENT, books.CreateBook, self.draft(**wrong))
            self.assertIn(field, details)
        request = messages("book").BookRetrieveRequest(book_id=2**31 - 1)
        self.assert_fails(grpc.StatusCode.NOT_FOUND, books.RetrieveBook, request)

    def test_books_are_listed_by_their_years_or_all(self):
        request = messages("book").BookListRequest

        def listed(**fields):
            return list(self.stub("book").ListBook(request(**fields), timeout=PATIENCE))

        every = listed()
        self.assertGreaterEqual(len(every), 100)
        some = listed(start=1800, end=1850)
        self.assertTrue(some)
        self.assertEqual(some, [book for book in every if 1800 <= book.year <= 1850])
        # book_id never had an effect, and a 0 is not sent, so this sets no filter.
        self.assertEqual(listed(book_id=7, start=0, end=0), every)

    def test_half_a_range_of_years_and_a_reversed_one_are_rejected(self):
        request = messages("book").BookListRequest
        for years in ({"start": 1800}, {"end": 1800}, {"start": 1801, "end": 1800}):
            books = self.stub("book").ListBook(request(**years), timeout=PATIENCE)
            with self.assertRaises(grpc.RpcError) as raised:
                next(books)
            self.assertEqual(raised.exception.code(), grpc.StatusCode.INVALID_ARGUMENT, years)

    # Numbers

    def test_a_number_is_increased_under_both_old_names(self):
        for file in ("python_to_rust_simple", "python_to_python_simple"):
            increase, request = self.stub(file).increase, messages(file).IncreaseRequest
            for num in (-2**31, -1, 0, 41, 2**31 - 2):
                for compression in (grpc.Compression.NoCompression, grpc.Compression.Gzip):
                    answer = increase(request(num=num), timeout=PATIENCE, compression=compression)
                    self.assertEqual(answer.num, num + 1, file)
            self.assert_fails(grpc.StatusCode.OUT_OF_RANGE, increase, request(num=2**31 - 1))

    def test_the_two_way_stream_responds_in_order_with_and_without_gzip(self):
        increase = self.stub("python_to_python_two_way_stream").increase
        request = messages("python_to_python_two_way_stream").IncreaseRequest
        for compression in (grpc.Compression.NoCompression, grpc.Compression.Gzip):
            requests = (request(num=num) for num in range(10_000))
            answers = increase(requests, timeout=PATIENCE, compression=compression)
            self.assertEqual([answer.num for answer in answers], list(range(1, 10_001)))

    def test_the_two_way_stream_responds_while_it_is_open(self):
        waiting = queue.Queue()
        request = messages("python_to_python_two_way_stream").IncreaseRequest
        answers = self.stub("python_to_python_two_way_stream").increase(iter(waiting.get, None), timeout=PATIENCE)
        for num in (7, -7, 0):
            waiting.put(request(num=num))
            self.assertEqual(next(answers).num, num + 1)
        waiting.put(None)
        self.assertEqual(list(answers), [])

    def test_the_two_way_stream_ends_with_the_status_of_a_failed_request(self):
        increase = self.stub("python_to_python_two_way_stream").increase
        request = messages("python_to_python_two_way_stream").IncreaseRequest
        answers = increase(iter([request(num=1), request(num=2**31 - 1), request(num=2)]), timeout=PATIENCE)
        self.assertEqual(next(answers).num, 2)
        with self.assertRaises(grpc.RpcError) as raised:
            next(answers)
        self.assertEqual(raised.exception.code(), grpc.StatusCode.OUT_OF_RANGE)

    # All of them

    def test_reflection_returns_the_old_contracts_of_the_repository(self):
        for file, (service, program) in OLD.items():
            pool = DescriptorPool(ProtoReflectionDescriptorDatabase(self.mesh[program].channel))
            reflected = pool.FindServiceByName(service)
            [compiled] = messages(file).DESCRIPTOR.services_by_name.values()
            self.assertEqual(compiled.full_name, service)
            self.assertEqual([method.name for method in reflected.methods], [method.name for method in compiled.methods])
            for method in compiled.methods:
                reflected_method = reflected.FindMethodByName(method.name)
                for side in ("input_type", "output_type"):
                    self.assertEqual(getattr(reflected_method, side).full_name, getattr(method, side).full_name)
                    self.assertEqual(fields(getattr(reflected_method, side)), fields(getattr(method, side)))
                for side in ("client_streaming", "server_streaming"):
                    self.assertEqual(getattr(reflected_method, side), getattr(method, side), method.full_name)

    def test_each_old_method_is_counted_from_zero_under_its_own_name(self):
        for file, (service, program) in OLD.items():
            page = self.mesh[program].metrics()
            for method in messages(file).DESCRIPTOR.services_by_name[service.rpartition(".")[2]].methods:
                labels = f'grpc_method="{method.name}",grpc_service="{service}"'
                self.assertTrue(any(
                    series.startswith(f"grpc_server_started_total{{{labels}") for series in page
                ), labels)

    def test_a_call_is_counted_only_under_the_name_that_it_used(self):
        program = self.mesh["time"]
        before = program.metrics()
        for _ in range(3):
            self.stub("time").WhatTimeIs(messages("time").TimeRequest(), timeout=PATIENCE)
        series = 'grpc_server_started_total{{grpc_method="WhatTimeIs",grpc_service="{}",grpc_type="unary"}}'
        old, new = series.format("dj.grpc.time.TimeProcedureApi"), series.format("vitalmesh.time.v1.TimeService")
        after = program.metrics()
        self.assertEqual(after[old] - before[old], 3)
        self.assertEqual(after[new], before[new])

    def test_one_switch_removes_the_old_names(self):
        program = Program("time", "--legacy-names=off")
        self.addCleanup(program.close)
        call = stub("time", program.channel).WhatTimeIs
        self.assert_fails(grpc.StatusCode.UNIMPLEMENTED, call, messages("time").TimeRequest())
        listed = ProtoReflectionDescriptorDatabase(program.channel).get_services()
        self.assertNotIn(OLD["time"][0], listed)
        self.assertFalse([series for series in program.metrics() if "dj.grpc" in series])


if __name__ == "__main__":
    programs.main(__doc__)
