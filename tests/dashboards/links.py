#!/usr/bin/env python3
"""Follows Grafana's links between metrics, traces and logs with the data of the real programs.

The stores of the compose profile `tracing` do not run here. This script is the collector instead: it keeps the spans
and lines it receives, labels lines as Loki does with deploy/tracing/loki.yaml, and runs Grafana's queries on them.
Usage: links.py <folder of the programs>. Needs the packages of requirements.txt here and in tests/python.
"""

import re
import sys
import tempfile
import time
import unittest
import urllib.request
from concurrent import futures
from urllib.parse import urlsplit

import grpc
import yaml
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2 as logs
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2_grpc as logs_grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as trace
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc as trace_grpc

import mesh
from model import ROOT


def load(path):
    return yaml.safe_load((ROOT / path).read_text())


COMPOSE = load("docker-compose.yml")["services"]
COLLECTOR = load("deploy/tracing/otel-collector.yaml")
LOKI = load("deploy/tracing/loki.yaml")
TEMPO = load("deploy/tracing/tempo.yaml")
ENV = dict(line.split("=", 1) for line in (ROOT / "deploy/tracing/tracing.env").read_text().splitlines()
           if not line.startswith("#"))
# Grafana expands $NAME to a variable and $$ to $.
SOURCES = {one["uid"]: one for one in yaml.safe_load(
    (ROOT / "grafana/provisioning/datasources/mesh.yml").read_text().replace("$$", "$"))["datasources"]}
UNITS = {"s": 1, "m": 60, "h": 3600}


def seconds(text):
    number, unit = re.fullmatch(r"(-?\d+)([smh])", text).groups()
    return int(number) * UNITS[unit]


def source(kind):
    return next(one for one in SOURCES.values() if one["type"] == kind)


def texts(attributes):
    """Attributes as in Loki and Grafana: every value is a string."""
    return {one.key: str(getattr(one.value, one.value.WhichOneof("value"))) for one in attributes}


class Collector(trace_grpc.TraceServiceServicer, logs_grpc.LogsServiceServicer):
    """Keeps each received span and line with its resource."""

    def __init__(self):
        self.spans, self.lines = [], []
        self.server = grpc.server(futures.ThreadPoolExecutor(8))
        trace_grpc.add_TraceServiceServicer_to_server(self, self.server)
        logs_grpc.add_LogsServiceServicer_to_server(self, self.server)
        self.url = f"http://127.0.0.1:{self.server.add_insecure_port('127.0.0.1:0')}"
        self.server.start()

    def Export(self, request, _):
        if isinstance(request, trace.ExportTraceServiceRequest):
            self.spans += [(texts(of.resource.attributes), span) for of in request.resource_spans
                           for scope in of.scope_spans for span in scope.spans]
            return trace.ExportTraceServiceResponse()
        self.lines += [(texts(of.resource.attributes), line) for of in request.resource_logs
                       for scope in of.scope_logs for line in scope.log_records]
        return logs.ExportLogsServiceResponse()


class Traced(mesh.Mesh):
    """The mesh with a collector."""

    def __init__(self, programs, scratch, collector):
        super().__init__(programs, scratch)
        self.collector = collector

    def settings(self, job):
        return {**super().settings(job), "OTEL_EXPORTER_OTLP_ENDPOINT": self.collector.url}


def filed(resource, line):
    """Stream labels and structured metadata of a line in Loki, as in its pkg/loghttp/push/otlp.go."""
    rules = LOKI["limits_config"]["otlp_config"]["resource_attributes"]
    indexed = {name for rule in rules["attributes_config"] if rule["action"] == "index_label"
               for name in rule["attributes"]}
    label = {key: re.sub(r"\W", "_", key) for key in {*resource, *texts(line.attributes)}}
    stream = {label[key]: value for key, value in resource.items() if key in indexed}
    beside = {label[key]: value for key, value in resource.items() if key not in indexed}
    beside |= {label[key]: value for key, value in texts(line.attributes).items()}
    beside |= {"severity_text": line.severity_text, "severity_number": str(line.severity_number)}
    if line.flags:
        beside["flags"] = str(line.flags)
    if line.trace_id:
        beside |= {"trace_id": line.trace_id.hex(), "span_id": line.span_id.hex()}
    return stream, beside


def matchers(text):
    """The label pairs of a selector or filter that consists of equality matchers only."""
    pairs = re.findall(r'(\w+)="([^"]*)"', text)
    if ", ".join(f'{key}="{value}"' for key, value in pairs) != text:
        raise ValueError(f"{text} has other matchers than equality")
    return dict(pairs)


def query_of(resource, span):
    """The log query of a span's link, and its time window in seconds since 1970."""
    link = source("tempo")["jsonData"]["tracesToLogsV2"]
    attributes = {**resource, **texts(span.attributes)}
    tags = ", ".join(f'{tag["value"]}="{attributes[tag["key"]]}"' for tag in link["tags"] if tag["key"] in attributes)
    query = link["query"].replace("${__tags}", tags).replace("${__trace.traceId}", span.trace_id.hex())
    window = (span.start_time_unix_nano / 1e9 + seconds(link["spanStartTimeShift"]),
              span.end_time_unix_nano / 1e9 + seconds(link["spanEndTimeShift"]))
    return query, window


def found(lines, query, window):
    """The lines that match a query of one selector and one filter."""
    selector, wanted = map(matchers, re.fullmatch(r"\{(.*)\} \| (.*)", query).groups())
    return [(resource, line) for resource, line in lines for stream, beside in [filed(resource, line)]
            if selector.items() <= stream.items() and wanted.items() <= beside.items()
            and window[0] <= line.time_unix_nano / 1e9 <= window[1]]


def until(probe):
    end = time.monotonic() + mesh.PATIENCE
    while not probe():
        if time.monotonic() > end:
            raise RuntimeError("the collector did not receive the expected data")
        time.sleep(0.05)


class Settings(unittest.TestCase):
    def test_each_built_service_exports_to_the_collector(self):
        built = {name for name, one in COMPOSE.items() if "build" in one}
        self.assertEqual(built, set(mesh.JOBS))
        for name in built:
            self.assertEqual(COMPOSE[name]["environment"]["OTEL_EXPORTER_OTLP_ENDPOINT"],
                             "${OTEL_EXPORTER_OTLP_ENDPOINT:-}", name)
        port = COLLECTOR["receivers"]["otlp"]["protocols"]["grpc"]["endpoint"].split(":")[1]
        self.assertEqual(ENV["OTEL_EXPORTER_OTLP_ENDPOINT"], f"http://otel-collector:{port}")

    def test_the_profile_starts_the_collector_and_both_stores(self):
        profile = {name for name, one in COMPOSE.items() if one.get("profiles") == [ENV["COMPOSE_PROFILES"]]}
        self.assertEqual(profile, {"otel-collector", "tempo", "loki"})
        self.assertTrue(all("profiles" not in COMPOSE[name] for name in COMPOSE.keys() - profile))

    def test_the_collector_exports_each_signal_to_the_port_of_its_store(self):
        pipelines = COLLECTOR["service"]["pipelines"]
        self.assertEqual(pipelines.keys(), {"traces", "logs"})
        for part in ("receivers", "processors", "exporters"):
            used = {name for one in pipelines.values() for name in one[part]}
            self.assertEqual(used, COLLECTOR[part].keys())
        (spans,), (lines,) = (pipelines[signal]["exporters"] for signal in ("traces", "logs"))
        port = TEMPO["distributor"]["receivers"]["otlp"]["protocols"]["grpc"]["endpoint"].split(":")[1]
        self.assertEqual(COLLECTOR["exporters"][spans]["endpoint"], f"tempo:{port}")
        # The exporter appends /v1/logs.
        self.assertEqual(COLLECTOR["exporters"][lines]["endpoint"],
                         f"http://loki:{LOKI['server']['http_listen_port']}/otlp")

    def test_grafana_queries_the_stores_on_their_ports(self):
        for kind, config in (("tempo", TEMPO), ("loki", LOKI)):
            url = urlsplit(source(kind)["url"])
            self.assertEqual((url.hostname, url.port), (kind, config["server"]["http_listen_port"]))

    def test_the_stores_keep_bounded_data_in_memory(self):
        kept = {"tempo": [*TEMPO["storage"]["trace"]["local"].values(), TEMPO["storage"]["trace"]["wal"]["path"]],
                "loki": [LOKI["common"]["path_prefix"], *LOKI["common"]["storage"]["filesystem"].values()]}
        for name, paths in kept.items():
            mounts = dict(re.fullmatch(r"([^:]+):mode=1777,size=(\d+)m", one).groups()
                          for one in COMPOSE[name]["tmpfs"] if ":" in one)
            (mount, size), = mounts.items()
            self.assertTrue(all(path == mount or path.startswith(mount + "/") for path in paths), paths)
            memory = COMPOSE[name]["deploy"]["resources"]["limits"]["memory"].rstrip("M")
            self.assertGreaterEqual(int(memory), 2 * int(size))
        self.assertTrue(LOKI["compactor"]["retention_enabled"])
        self.assertEqual(seconds(LOKI["limits_config"]["retention_period"]), 24 * 3600)

    def test_no_container_has_more_rights_than_it_needs(self):
        for name, one in COMPOSE.items():
            self.assertEqual((one["cap_drop"], one["read_only"], one.get("user")), (["ALL"], True, None), name)
            self.assertFalse(any("docker" in mount.split(":")[0] for mount in one.get("volumes", [])), name)
            self.assertNotIn("latest", one["image"])


class Links(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.collector = Collector()
        cls.addClassCleanup(cls.collector.server.stop, None)
        cls.scratch = cls.enterClassContext(tempfile.TemporaryDirectory())
        cls.mesh = Traced(PROGRAMS, cls.scratch, cls.collector)
        cls.addClassCleanup(cls.mesh.__exit__)
        for job in ("edge", "revert-name", "time"):
            cls.mesh.start(job)
        # Each call fails in revert-name; that service and the edge log a warning.
        cls.traces = [cls.failed_call() for _ in range(2)]
        until(lambda: all(cls.services(part(one)) >= {"edge", "revert-name"}
                          for one in cls.traces for part in (cls.spans_of, cls.lines_of)))

    @staticmethod
    def services(of):
        return {resource["service.name"] for resource, _ in of}

    @classmethod
    def failed_call(cls):
        try:
            urllib.request.urlopen(f"http://{cls.mesh.http['edge']}/proxy/internal", timeout=5)
        except urllib.error.HTTPError as error:
            return error.headers["traceresponse"].split("-")[1]
        raise RuntimeError("the call did not fail")

    @classmethod
    def spans_of(cls, trace_id):
        return [(resource, span) for resource, span in cls.collector.spans if span.trace_id.hex() == trace_id]

    @classmethod
    def lines_of(cls, trace_id):
        return [(resource, line) for resource, line in cls.collector.lines if line.trace_id.hex() == trace_id]

    def test_a_span_links_to_the_lines_of_its_service_in_its_trace(self):
        link = source("tempo")["jsonData"]["tracesToLogsV2"]
        self.assertEqual((SOURCES[link["datasourceUid"]]["type"], link["customQuery"]), ("loki", True))
        for trace_id in self.traces:
            linked = []
            for resource, span in self.spans_of(trace_id):
                lines = found(self.collector.lines, *query_of(resource, span))
                mine = [one for one in self.lines_of(trace_id) if one[0]["service.name"] == resource["service.name"]]
                self.assertEqual(lines, mine, resource)
                linked += lines
            self.assertEqual(self.services(linked), {"edge", "revert-name"})

    def test_a_line_links_to_its_trace(self):
        (field,) = source("loki")["jsonData"]["derivedFields"]
        self.assertEqual((SOURCES[field["datasourceUid"]]["type"], field["matcherType"]), ("tempo", "label"))
        for trace_id in self.traces:
            for resource, line in self.lines_of(trace_id):
                stream, beside = filed(resource, line)
                keys = [key for key in {**stream, **beside} if re.search(field["matcherRegex"], key)]
                self.assertEqual(keys, ["trace_id"])
                query = field["url"].replace("${__value.raw}", beside["trace_id"])
                self.assertIn(resource["service.name"], self.services(self.spans_of(query)))

    def test_a_line_outside_of_a_call_has_no_link(self):
        (field,) = source("loki")["jsonData"]["derivedFields"]
        serving = lambda: [one for one in self.collector.lines if one[1].body.string_value == "serving"]
        until(lambda: len(serving()) == 3)
        for resource, line in serving():
            names = {name for part in filed(resource, line) for name in part}
            self.assertFalse(any(re.search(field["matcherRegex"], name) for name in names), names)

    def test_a_span_links_to_the_metrics_of_its_service(self):
        link = source("tempo")["jsonData"]["tracesToMetrics"]
        self.assertEqual([tag["value"] for tag in link["tags"]], ["job"])
        for resource, _ in self.spans_of(self.traces[0]):
            self.assertIn(resource[link["tags"][0]["key"]], mesh.JOBS)

    def test_an_exemplar_links_to_its_trace(self):
        (destination,) = source("prometheus")["jsonData"]["exemplarTraceIdDestinations"]
        self.assertEqual(SOURCES[destination["datasourceUid"]]["type"], "tempo")
        page = urllib.request.Request(f"http://{self.mesh.scrape['revert-name']}/metrics",
                                      headers={"Accept": "application/openmetrics-text"})
        text = urllib.request.urlopen(page, timeout=5).read().decode()
        shown = set(re.findall(rf'# {{{destination["name"]}="(\w+)"}}', text))
        self.assertTrue(shown & set(self.traces), shown)


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    PROGRAMS = sys.argv.pop(1)
    unittest.main()
