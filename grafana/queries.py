"""PromQL of the dashboards.

Queries use three constants of every dashboard: $noise (gRPC services that do not count as traffic), $fault (codes
that are faults, docs/METRICS.md) and $old (services under the names of the older API).
"""

NOISE = "grpc[.](health|reflection)[.].*"
FAULT = "(?i)unknown|deadline_?exceeded|unimplemented|internal|unavailable|data_?loss|resource_?exhausted"
OLD = "dj[.]grpc[.].*|BookController|python_to_.*"

UNARY = 'grpc_type=~"(?i)unary"'
STREAM = 'grpc_type!~"(?i)unary"'
IS_FAULT = 'grpc_code=~"$fault"'
JOB = 'job=~"$job"'
RATE = "[$__rate_interval]"
RANGE = "[$__range]"
# Prometheus scrapes itself but is not a service of the mesh.
SERVICES = 'job!="prometheus"'
UP = f"up{{{JOB},{SERVICES}}}"


def of_job(name, *more):
    return f"{name}{{{','.join((JOB, *more))}}}"


def server(name, *more):
    return of_job(f"grpc_server_{name}", 'grpc_service!~"$noise"', *more)


def client(name, *more):
    return of_job(f"grpc_client_{name}", 'grpc_service!~"$noise"', *more)


HANDLED, STARTED = server("handled_total"), server("started_total")
FAULTS, BUCKET = server("handled_total", IS_FAULT), server("handling_seconds_bucket", UNARY)


def rate(series, by="", window=RATE):
    return f"sum{by and f' by ({by})'} (rate({series}{window}))"


def increase(series, by, window=RANGE):
    return f"sum by ({by}) (increase({series}{window}))"


def share(part, whole, by=""):
    """`part` as a share of `whole`: 0 if no series of `part` exists, absent without traffic."""
    return f"({rate(part, by)} or 0 * {rate(whole, by)}) / ({rate(whole, by)} > 0)"


def quantile(q, bucket, by="le"):
    return nth(q, rate(bucket, by))


def nth(q, buckets):
    """Absent, not NaN, without observations."""
    return f"histogram_quantile({q}, {buckets}) >= 0"


def in_flight(side, by="", *more):
    """The gauge of calls in flight; started minus completed calls for libraries that do not export it."""
    def total(name):
        return f"sum{by and f' by ({by})'} ({side(name, *more)})"

    begun, ended = total("started_total"), total("handled_total")
    return f"{total('in_flight')} or ({begun} - ({ended} or 0 * {begun}))"


def mean(family, matchers, by=""):
    return f"{rate(f'{family}_sum{{{matchers}}}', by)} / ({rate(f'{family}_count{{{matchers}}}', by)} > 0)"
