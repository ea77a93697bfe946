"""Calls the mesh's programs with an independent client: grpcio from PyPI.

Usage: client_test.py <folder of the programs>
"""

import importlib
import re
import signal
import sys
import tempfile
import unittest
from pathlib import Path

import grpc
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

import programs
from programs import PATIENCE, PROTO, SERVICES, Mesh, Program

# Where the contract does not have the service's name.
CONTRACTS = {"edge": "heartbeat"}


def own_service(name):
    """The gRPC service of a program, as its contract in the tree spells it."""
    contract = CONTRACTS.get(name, name.replace("-", "_"))
    text = (PROTO / f"vitalmesh/{contract}/v1/{contract}.proto").read_text()
    [service] = re.findall(r"^service (\w+)", text, re.MULTILINE)
    return f"vitalmesh.{contract}.v1.{service}"


OWN_SERVICE = {name: own_service(name) for name in SERVICES}
OLD_SERVICES = {
    "bookstore": ["BookController"],
    "counter": [
        "python_to_rust_simple.PythonToRustSimpleService",
        "python_to_python_simple.Simple_python_python",
        "python_to_python_two_way_stream.Two_way_stream_python_to_python",
    ],
    "edge": ["dj.grpc.heartbeat.HeartBeatApi"],
    "revert-name": ["dj.grpc.revert_name.RevertApi"],
    "time": ["dj.grpc.time.TimeProcedureApi"],
}
METHOD = {"edge": "BeatHeart", "revert-name": "RevertName", "time": "WhatTimeIs"}
COMMON_SERVICES = {
    "grpc.health.v1.Health",
    "grpc.reflection.v1.ServerReflection",
    "grpc.reflection.v1alpha.ServerReflection",
}
FAULTS = [code for code in grpc.StatusCode if code is not grpc.StatusCode.OK]


class MeshTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.programs = Mesh(cls)

    def method(self, service):
        """The method of a service and its request type, from the server's reflection."""
        channel = self.programs[service].channel
        pool = DescriptorPool(ProtoReflectionDescriptorDatabase(channel))
        descriptor = pool.FindServiceByName(OWN_SERVICE[service]).FindMethodByName(METHOD[service])
        request, response = GetMessageClass(descriptor.input_type), GetMessageClass(descriptor.output_type)
        call = channel.unary_unary(
            f"/{OWN_SERVICE[service]}/{METHOD[service]}",
            request_serializer=request.SerializeToString,
            response_deserializer=response.FromString,
        )
        return call, request

    def revert(self, name, delay=0, timeout=PATIENCE):
        call, request = self.method("revert-name")
        return call(request(name=name, delay=delay), timeout=timeout).name

    def assert_fails(self, code, call, *arguments, **options):
        with self.assertRaises(grpc.RpcError) as raised:
            call(*arguments, **options)
        self.assertEqual(raised.exception.code(), code, raised.exception.details())
        return raised.exception.details()

    # Reflection

    def test_reflection_v1alpha_lists_every_service(self):
        for name, program in self.programs.items():
            listed = ProtoReflectionDescriptorDatabase(program.channel).get_services()
            self.assertEqual(set(listed), COMMON_SERVICES | {OWN_SERVICE[name], *OLD_SERVICES.get(name, [])}, name)

    def test_reflection_v1_lists_every_service(self):
        # Both versions have the same messages; grpcio-reflection implements only the older one.
        for name, program in self.programs.items():
            info = program.channel.stream_stream(
                "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
                request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
                response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
            )
            request = reflection_pb2.ServerReflectionRequest(list_services="")
            [response] = info(iter([request]), timeout=PATIENCE)
            listed = {service.name for service in response.list_services_response.service}
            self.assertEqual(listed, COMMON_SERVICES | {OWN_SERVICE[name], *OLD_SERVICES.get(name, [])}, name)

    def test_reflection_returns_the_contracts_of_the_repository(self):
        with tempfile.TemporaryDirectory() as folder:
            programs.compile_protos(PROTO, Path(folder))
            self.addCleanup(sys.path.remove, folder)
            for service, own in OWN_SERVICE.items():
                package = own.rpartition(".")[0]
                module = importlib.import_module(f"{package}.{package.split('.')[1]}_pb2")
                [compiled] = module.DESCRIPTOR.services_by_name.values()
                pool = DescriptorPool(ProtoReflectionDescriptorDatabase(self.programs[service].channel))
                reflected = pool.FindServiceByName(own)
                self.assertEqual(compiled.full_name, reflected.full_name)
                for method in compiled.methods:
                    for side in ("input_type", "output_type"):
                        fields = [
                            [(f.name, f.number, f.type) for f in getattr(m, side).fields]
                            for m in (method, reflected.FindMethodByName(method.name))
                        ]
                        self.assertEqual(fields[0], fields[1], method.full_name)

    def test_reflection_answers_what_it_does_not_know_and_goes_on(self):
        for name, program in self.programs.items():
            database = ProtoReflectionDescriptorDatabase(program.channel)
            for look in (
                lambda: database.FindFileContainingSymbol("no.such.Symbol"),
                lambda: database.FindFileByName("no_such.proto"),
                lambda: database.FindAllExtensionNumbers("no.such.Message"),
            ):
                self.assertRaises(KeyError, look)
            file = database.FindFileContainingSymbol(OWN_SERVICE[name])
            self.assertEqual(file.package, OWN_SERVICE[name].rpartition(".")[0])
            message = f"{file.package}.{file.message_type[0].name}"
            self.assertEqual(database.FindAllExtensionNumbers(message), [])

    # Health

    def test_health_lists_every_service(self):
        for name, program in self.programs.items():
            health = health_pb2_grpc.HealthStub(program.channel)
            statuses = health.List(health_pb2.HealthListRequest(), timeout=PATIENCE).statuses
            statuses = {service: answer.status for service, answer in statuses.items()}
            names = ["", OWN_SERVICE[name], *OLD_SERVICES[name]]
            self.assertEqual(statuses, dict.fromkeys(names, health_pb2.HealthCheckResponse.SERVING), name)

    def test_a_watch_of_an_unknown_service_stays_open(self):
        health = health_pb2_grpc.HealthStub(self.programs["time"].channel)
        watch = health.Watch(health_pb2.HealthCheckRequest(service="no.such.Service"), timeout=1)
        self.assertEqual(next(watch).status, health_pb2.HealthCheckResponse.SERVICE_UNKNOWN)
        self.assert_fails(grpc.StatusCode.DEADLINE_EXCEEDED, next, watch)

    def test_health_is_serving_overall_and_for_each_service(self):
        for name, program in self.programs.items():
            health = health_pb2_grpc.HealthStub(program.channel)
            for service in ("", OWN_SERVICE[name], *OLD_SERVICES.get(name, [])):
                answer = health.Check(health_pb2.HealthCheckRequest(service=service), timeout=PATIENCE)
                self.assertEqual(answer.status, health_pb2.HealthCheckResponse.SERVING, (name, service))
            unknown = health_pb2.HealthCheckRequest(service="no.such.Service")
            self.assert_fails(grpc.StatusCode.NOT_FOUND, health.Check, unknown, timeout=PATIENCE)

    def test_a_health_watch_receives_not_serving_on_sigterm_and_ends(self):
        program = Program("time", "--lame-duck", "500ms")
        self.addCleanup(program.close)
        health = health_pb2_grpc.HealthStub(program.channel)
        watch = health.Watch(health_pb2.HealthCheckRequest(service=OWN_SERVICE["time"]), timeout=PATIENCE)
        self.assertEqual(next(watch).status, health_pb2.HealthCheckResponse.SERVING)
        program.process.send_signal(signal.SIGTERM)
        self.assertEqual(next(watch).status, health_pb2.HealthCheckResponse.NOT_SERVING)
        try:
            list(watch)
        except grpc.RpcError as error:
            self.assertNotEqual(error.code(), grpc.StatusCode.DEADLINE_EXCEEDED)
        self.assertEqual(program.process.wait(PATIENCE), 0)

    # Calls

    def test_revert_name_reverses_by_grapheme_cluster(self):
        for name, reversed_name in [("Ana", "anA"), ("Rene\u0301", "e\u0301neR"), ("🇩🇪👍🏽", "👍🏽🇩🇪"), ("", "")]:
            self.assertEqual(self.revert(name), reversed_name)

    def test_a_compressed_request_is_answered(self):
        name = "vitalmesh " * 25
        for compression in (grpc.Compression.Gzip, grpc.Compression.Deflate):
            call, request = self.method("revert-name")
            answer = call(request(name=name), compression=compression, timeout=PATIENCE)
            self.assertEqual(answer.name, name[::-1])
            call, request = self.method("edge")
            call(request(service_name="python"), compression=compression, timeout=PATIENCE)

    def test_what_time_is_returns_rfc_3339_with_microseconds(self):
        call, request = self.method("time")
        answer = call(request(), timeout=PATIENCE)
        self.assertRegex(answer.time, r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}[+-]\d\d:\d\d$")

    def test_beat_heart_accepts_a_name_alone_and_rejects_an_invalid_one(self):
        call, request = self.method("edge")
        call(request(service_name="python"), timeout=PATIENCE)
        code = grpc.StatusCode.INVALID_ARGUMENT
        self.assert_fails(code, call, request(service_name="no name"), timeout=PATIENCE)

    def test_every_code_can_be_injected_as_a_fault(self):
        self.assertEqual(len(FAULTS), 16)
        for code in FAULTS:
            for name in (code.name, code.name.lower(), code.name.title()):
                details = self.assert_fails(code, self.revert, name)
                self.assertIn("fault on demand", details)

    def test_a_panic_returns_internal_and_fails_one_call(self):
        for name in ("exception", "key_error"):
            self.assert_fails(grpc.StatusCode.INTERNAL, self.revert, name)
            self.assertEqual(self.revert("Ana"), "anA")

    def test_a_deadline_is_enforced(self):
        self.assert_fails(grpc.StatusCode.DEADLINE_EXCEEDED, self.revert, "Ana", delay=10, timeout=0.3)

    def test_a_delay_out_of_range_is_an_invalid_argument(self):
        for delay in (-1, 3601):
            self.assert_fails(grpc.StatusCode.INVALID_ARGUMENT, self.revert, "Ana", delay=delay)

    def test_an_unknown_method_or_service_is_unimplemented(self):
        own = OWN_SERVICE["revert-name"]
        for path in (f"/{own}/NoSuchMethod", "/no.such.Service/Method", f"/{OWN_SERVICE['time']}/WhatTimeIs"):
            call = self.programs["revert-name"].channel.unary_unary(path)
            self.assert_fails(grpc.StatusCode.UNIMPLEMENTED, call, b"", timeout=PATIENCE)

    def test_a_program_exits_with_0_on_sigterm_with_a_client_connected(self):
        program = Program("revert-name")
        self.addCleanup(program.close)
        grpc.channel_ready_future(program.channel).result(PATIENCE)
        self.assertEqual(program.terminate(), 0)


if __name__ == "__main__":
    programs.main(__doc__)
