"""What the dashboards show of the driven traffic: callers, panels that stay empty, and panels that move under fault."""

import mesh as running

# The bookstore's REST side also calls the bookstore's own gRPC port.
EDGES = {("bookstore", "bookstore")} | {
    (name, upstream["service"]) for name, service in running.SERVICES.items() for upstream in service["upstreams"]}

NOISE = 'grpc_service!~"grpc[.](health|reflection)[.].*"'
# Panels that stay empty without methods of a kind, by the query that finds such methods.
KINDS = {
    f'grpc_server_started_total{{grpc_type!~"(?i)unary",{NOISE}}}': {
        "Streams opened",
        "Streams open",
        "Stream messages",
        "Messages per stream",
    },
    'grpc_server_started_total{grpc_service=~"dj[.]grpc[.].*|BookController|python_to_.*"}': {
        "Calls under old API names"
    },
    "mesh_spans_exported_total > 0": {"Spans"},
    "mesh_log_lines_exported_total > 0": {"Log lines"},
}
# The services make no calls under old names and have no stuck calls.
EMPTY = {"mesh-client/Calls under old API names/B", "mesh-service/In progress by instance/B"}
REVERT = {"job": "revert-name", "grpc_service": "vitalmesh.revert_name.v1.RevertNameService"}
# Panels that show faults: name, variables, greatest value before and least value during the faults.
FAULT_PANELS = [
    ("mesh-overview/Fault share by service", {}, 0, 0.1),
    ("mesh-service/Fault share by method", REVERT, 0, 0.1),
    ("mesh-service/Shed calls and panics", REVERT, 0, 0.1),
    ("mesh-method/Fault share", REVERT, 0, 0.1),
    ("mesh-client/Fault share", {"job": "edge"}, 0, 0.1),
    ("mesh-client/Faults by code", {"job": "edge"}, 0, 0.5),
    ("mesh-slo/Faults", {}, 0, 0.5),
    ("mesh-service/REST fault share by route", {}, 0, 0.1),
    ("mesh-slo/Burn rate over 30m and 6h", {}, 0, 6),
    ("mesh-slo/Burn rate over 5m and 1h", {}, 0, 14.4),
]
# Panels where lower is worse: name, variables, least value before and greatest value during the faults.
GOOD_PANELS = [
    ("mesh-overview/Calls without fault", {}, 1, 0.95),
    ("mesh-service/Calls without fault", REVERT, 1, 0.9),
    ("mesh-slo/Availability over the range", {}, 1, 0.9),
    ("mesh-slo/Error budget left", {}, 1, 0),
    ("mesh-overview/REST without fault", {}, 1, 0.95),
    ("mesh-service/REST without fault", {}, 1, 0.95),
]
# The budgets that burn under fault: the edge's users see the faults of revert-name.
BURNING = {("revert-name", "gRPC"), ("edge", "REST")}
FAULT_CODES = {*"Unknown DeadlineExceeded Unimplemented Internal Unavailable DataLoss ResourceExhausted".split()}
