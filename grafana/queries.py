"""PromQL of the dashboards.

Queries use three constants of every dashboard: $noise (gRPC services that do not count as traffic), $fault (codes
that are faults, docs/METRICS.md) and $old (services under the names of the older API).
"""

NOISE = "grpc[.](health|reflection)[.].*"
FAULT = "(?i)unknown|deadline_?exceeded|unimplemented|internal|unavailable|data_?loss|resource_?exhausted"
OLD = "dj[.]grpc[.].*|BookController|python_to_.*"

# Of a bound, the value that panels write as "less than the bound".
BELOW = 0.999999

UNARY = 'grpc_type=~"(?i)unary"'
STREAM = 'grpc_type!~"(?i)unary"'
IS_FAULT = 'grpc_code=~"$fault"'
JOB = 'job=~"$job"'
RATE = "[$__rate_interval]"
RANGE = "[$__range]"
# Prometheus scrapes itself but is not a service of the mesh.
SERVICES = 'job!="prometheus"'
UP = f"up{{{JOB},{SERVICES}}}"
# Paths without a route and the metrics page do not count as REST traffic; a status 5xx is a fault.
ROUTED, IS_5XX = 'route!~"unknown|/prometheus/metrics"', 'status=~"5.."'


# Heartbeats, by instance of a service: age of the last one, interval, and instances that the edge has forgotten. An
# expected service that has never sent one has an interval and no instance.
SENDER = "service, service_instance"
AGE = f"(time() - max by ({SENDER}) (mesh_heartbeat_last_seen_timestamp_seconds > 0))"
INTERVAL = f"max by ({SENDER}) (mesh_heartbeat_expected_interval_seconds)"
GONE = (f"(group by ({SENDER}) (present_over_time(mesh_heartbeat_expected_interval_seconds"
        f'{{service_instance!=""}}[$__range])) unless on ({SENDER}) {INTERVAL})')


def of_job(name, *more):
    return f"{name}{{{','.join((JOB, *more))}}}"


def server(name, *more):
    return of_job(f"grpc_server_{name}", 'grpc_service!~"$noise"', *more)


def client(name, *more):
    return of_job(f"grpc_client_{name}", 'grpc_service!~"$noise"', *more)


def rest(*more):
    return of_job("http_server_requests_total", ROUTED, *more)


REST, REST_FAULTS = rest(), rest(IS_5XX)
REST_BUCKET = of_job("http_server_request_duration_seconds_bucket", ROUTED)
HANDLED, STARTED = server("handled_total"), server("started_total")
FAULTS, BUCKET = server("handled_total", IS_FAULT), server("handling_seconds_bucket", UNARY)


def rate(series, by="", window=RATE):
    return f"sum{by and f' by ({by})'} (rate({series}{window}))"


def increase(series, by, window=RANGE):
    return f"sum by ({by}) (increase({series}{window}))"


def share(part, whole, by=""):
    """`part` as a share of `whole`: 0 if no series of `part` exists, absent without traffic."""
    return f"({rate(part, by)} or 0 * {rate(whole, by)}) / ({rate(whole, by)} > 0)"


def quantile(q, bucket, by="le", window=RATE):
    return nth(q, rate(bucket, by, window), by)


def nth(q, buckets, by="le"):
    """Absent, not NaN, without observations. A quantile in the first bucket is a little less than its bound: where it
    is between 0 and the bound is unknown, and what histogram_quantile interpolates there is invented.
    """
    others = ", ".join(name for name in by.split(", ") if name != "le")
    each = f" by ({others})" if others else ""
    first = f"min{each} ({buckets}) / max{each} ({buckets})"
    return f"histogram_quantile({q}, {buckets}) * clamp_min({BELOW} / {q} * {first}, 1) >= 0"


def in_flight(side, by="", *more):
    """The gauge of calls in flight; started minus completed calls for libraries that do not export it."""
    def total(name):
        return f"sum{by and f' by ({by})'} ({side(name, *more)})"

    begun, ended = total("started_total"), total("handled_total")
    return f"{total('in_flight')} or ({begun} - ({ended} or 0 * {begun}))"


def mean(family, matchers, by=""):
    return f"{rate(f'{family}_sum{{{matchers}}}', by)} / ({rate(f'{family}_count{{{matchers}}}', by)} > 0)"
