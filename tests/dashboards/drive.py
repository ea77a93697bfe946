"""Light traffic over the whole API of the mesh: each RPC, found by gRPC reflection, and each REST route.

Needs grpcio and grpcio-reflection. Every loop ends after a given number of seconds.
"""

import threading
import time

import grpc
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

import mesh as running

PATIENCE = 5
BEATS, BEAT_EVERY = ("BeatHeart",), 10
NOISE = ("grpc.health.", "grpc.reflection.")
BOOK = {
    "author": "Ana",
    "title": "Vital signs",
    "year": 2026,
    "pages": 1,
    "language": "en",
    "country": "NL",
    "link": "https://example.org",
}
# REST routes by service: a path for GET, or a path and the body of a POST.
ROUTES = {
    "bookstore": ["/", "/openapi.json", "/books?start=1800&end=1900", "/books/1", ("/books", BOOK), "/3"],
    "counter": ["/increase/1", "/increase/1/"],
    "edge": ["/proxy/Ana", "/proxy/Bob/", "/heartbeats"],
}
# Request fields by method, for methods whose default request fails.
FIELDS = {
    "BeatHeart": {"service_name": "time"},
    "RevertName": {"name": "Ana"},
    "RetrieveBook": {"book_id": 1},
    "ListBooks": {"start": 1800, "end": 1900},
    "ListBook": {"start": 1800, "end": 1900},
    "CreateBook": BOOK,
    "RecommendBooks": {"user_id": 1, "max_results": 3},
    "ListRecommendations": {"user_id": 1, "max_results": 3},
    "Countdown": {"from": 3},
}
# Names for which revert-name returns a fault or panics, and names for which it returns an error of the caller.
FAULTS = [
    "internal",
    "unavailable",
    "unknown",
    "data_loss",
    "resource_exhausted",
    "unimplemented",
    "deadline_exceeded",
    "exception",
]
REFUSALS = ["not_found", "invalid_argument", "aborted", "unauthenticated"]


class Method:
    """A method of a service, callable through its descriptor."""

    def __init__(self, channel, descriptor):
        self.name, self.path = descriptor.name, f"/{descriptor.containing_service.full_name}/{descriptor.name}"
        self.request = GetMessageClass(descriptor.input_type)
        self.fields = {field.name for field in descriptor.input_type.fields}
        self.takes_many, answers_many = descriptor.client_streaming, descriptor.server_streaming
        kind = ("stream_" if self.takes_many else "unary_") + ("stream" if answers_many else "unary")
        self.answers_many = answers_many
        self.stub = getattr(channel, kind)(
            self.path,
            request_serializer=self.request.SerializeToString,
            response_deserializer=GetMessageClass(descriptor.output_type).FromString,
        )

    def call(self, **fields):
        """Calls the method and returns the status code."""
        fields = {**FIELDS.get(self.name, {}), **fields}
        request = self.request(**{name: value for name, value in fields.items() if name in self.fields})
        try:
            answer = self.stub(iter([request] * 3) if self.takes_many else request, timeout=PATIENCE)
            if self.answers_many:
                for _ in answer:
                    pass
        except grpc.RpcError as error:
            return error.code()
        return grpc.StatusCode.OK


class Driver:
    def __init__(self, mesh):
        self.beaten = -BEAT_EVERY
        self.http = {job: f"http://{address}" for job, address in mesh.http.items()}
        self.channels = {job: grpc.insecure_channel(address) for job, address in mesh.grpc.items()}
        self.methods = [method for channel in self.channels.values() for method in self.found(channel)]

    def found(self, channel):
        database = ProtoReflectionDescriptorDatabase(channel)
        pool = DescriptorPool(database)
        for service in database.get_services():
            if not service.startswith(NOISE):
                for descriptor in pool.FindServiceByName(service).methods:
                    yield Method(channel, descriptor)

    def one_round(self):
        """Results of one call per method and route, by name. Sends heartbeats no more often than the services do."""
        seldom = time.monotonic() - self.beaten < BEAT_EVERY
        codes = {method.path: method.call() for method in self.methods if not (seldom and method.name in BEATS)}
        self.beaten = self.beaten if seldom else time.monotonic()
        statuses = {}
        for job, address in self.http.items():
            for route in ROUTES.get(job, []):
                path, body = route if isinstance(route, tuple) else (route, None)
                statuses[f"{job} {path}"] = (running.get(address + path, body) or ["nothing"])[0]
        return {**codes, **statuses}

    def healthy(self, seconds):
        """Calls every method and route repeatedly, with health checks, watches and a few errors of the caller."""
        ended = threading.Event()
        watches = [threading.Thread(target=watch, args=(channel, ended)) for channel in self.channels.values()]
        for thread in watches:
            thread.start()
        end = time.monotonic() + seconds
        try:
            while time.monotonic() < end:
                for name, answer in self.one_round().items():
                    if answer not in (200, 201, grpc.StatusCode.OK):
                        raise AssertionError(f"{name} returned {answer}")
                for path in [*(f"/proxy/{refusal}" for refusal in REFUSALS), "/no/such/path"]:
                    running.get(self.http["edge"] + path)
                time.sleep(0.1)
        finally:
            ended.set()
            for thread in watches:
                thread.join()

    def failing(self, seconds, enough):
        """Adds every kind of fault of revert-name, until `enough` is set or the time is up."""
        revert = [method for method in self.methods if method.name == "RevertName"]
        end = time.monotonic() + seconds
        while time.monotonic() < end and not enough.is_set():
            self.one_round()
            for fault in FAULTS:
                running.get(f"{self.http['edge']}/proxy/{fault}")
                for method in revert:
                    method.call(name=fault)
            time.sleep(0.1)

    def close(self):
        for channel in self.channels.values():
            channel.close()


def watch(channel, ended):
    """A health watch that stays open until `ended` is set: a stream that dashboards exclude."""
    call = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(), timeout=600)
    next(call)
    ended.wait()
    call.cancel()
