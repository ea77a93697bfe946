"""Series of services as they could be, for promtool: other metrics libraries, no traffic, REST, tasks."""

EVERY, MANY = 5, 72
AT = EVERY * MANY
# Spellings of unary, server stream, success, a fault and a cancelled call.
GO = ("unary", "server_stream", "OK", "Internal", "Canceled")
PYTHON = ("UNARY", "SERVER_STREAMING", "OK", "INTERNAL", "CANCELLED")


def series(name, labels, start=0, step=0):
    """A series that starts at `start` and grows by `step` per sample."""
    written = ",".join(f'{label}="{value}"' for label, value in labels.items())
    return {"series": f"{name}{{{written}}}", "values": f"{start}+{step}x{MANY}"}


def others(spelling):
    """A service and its caller: 2 calls per second, a tenth fails, a tenth is cancelled, and 4 never complete."""
    unary, stream, ok, fault, cancel = spelling
    of = {"grpc_service": "others.v1.Things", "grpc_method": "Get", "grpc_type": unary}
    watched = {**of, "grpc_method": "Watch", "grpc_type": stream}
    probes = {**of, "grpc_service": "grpc.health.v1.Health", "grpc_method": "Check"}
    made = [series("up", {"job": job, "instance": job}, 1) for job in ("things", "caller")]
    for side, job in (("server", "things"), ("client", "caller")):
        own, family = {"job": job, "instance": job}, f"grpc_{side}"
        made += [series(f"{family}_started_total", {**own, **of}, 4, 10)]
        made += [series(f"{family}_started_total", {**own, **probes}, 0, 50)]
        for code, step in ((ok, 8), (fault, 1), (cancel, 1)):
            made += [series(f"{family}_handled_total", {**own, **of, "grpc_code": code}, 0, step)]
        for bound, step in (("0.25", 0), ("0.5", 10), ("+Inf", 10)):
            made += [series(f"{family}_handling_seconds_bucket", {**own, **of, "le": bound}, 0, step)]
        made += [series(f"{family}_handling_seconds_count", {**own, **of}, 0, 10)]
        made += [series(f"{family}_handling_seconds_sum", {**own, **of}, 0, 4 if side == "server" else 5)]
    own = {"job": "things", "instance": "things"}
    # The service calls itself too.
    asked = {"job": "things", "grpc_service": of["grpc_service"]}
    made += [series(f"grpc_client_{name}_total", {**asked, "grpc_type": unary, **code}, 0, 1)
             for name, code in (("started", {}), ("handled", {"grpc_code": ok}))]
    made += [series("grpc_server_started_total", {**own, **watched}, 3, 5)]
    made += [series("grpc_server_handled_total", {**own, **watched, "grpc_code": ok}, 0, 5)]
    return [*made, series("grpc_server_msg_sent_total", {**own, **watched}, 0, 20)]


def idle():
    """A service without traffic: every series is 0."""
    of = {"job": "idle", "instance": "i", "grpc_service": "idle.v1.Idle", "grpc_method": "Do", "grpc_type": "unary"}
    made = [series("up", {"job": "idle", "instance": "i"}, 1), series("grpc_server_started_total", of)]
    made += [series("grpc_server_handled_total", {**of, "grpc_code": code}) for code in ("OK", "Internal")]
    made += [series("grpc_server_handling_seconds_bucket", {**of, "le": bound}) for bound in ("0.25", "0.5", "+Inf")]
    return [*made, series("grpc_server_handling_seconds_count", of), series("grpc_server_handling_seconds_sum", of)]


def rest(route, idle_route):
    """The edge: 10 REST requests per second, a fifth with 503, and one gRPC call per second without faults."""
    own = {"job": "edge", "instance": "e"}
    of = {**own, "grpc_service": "edge.v1.Beats", "grpc_method": "Beat", "grpc_type": "unary"}
    made = [series("grpc_server_started_total", of, 0, 5), series("up", own, 1)]
    made += [series("grpc_server_handled_total", {**of, "grpc_code": code}, 0, step)
             for code, step in (("OK", 5), ("Internal", 0))]
    made += [series("http_server_requests_total", {**own, **route, "status": status}, 0, step)
             for status, step in (("200", 20), ("404", 10), ("499", 10), ("503", 10), ("500", 0))]
    made += [series("http_server_request_duration_seconds_bucket", {**own, **route, "le": bound}, 0, step)
             for bound, step in (("0.25", 0), ("0.5", 50), ("+Inf", 50))]
    # Neither a path without a route nor the metrics page is traffic.
    made += [series("http_server_requests_total", {**own, "method": "GET", "route": name, "status": status}, 0, 99)
             for name, status in (("unknown", "404"), ("/prometheus/metrics", "200"))]
    return [*made, series("http_server_requests_total", {**own, **idle_route, "status": "201"}, 0, 0)]


def scheduled(of, enabled=1, seen=0):
    """A task with an interval of ten seconds that last succeeded at `seen`."""
    return [
        series("mesh_task_enabled", of, enabled),
        series("mesh_task_interval_seconds", of, 10),
        series("mesh_task_last_success_timestamp_seconds", of, seen),
        series("mesh_task_next_run_timestamp_seconds", of, AT + 7),
        series("mesh_task_runs_total", {**of, "outcome": "error"}, 0, 1),
    ]
