"""The objectives: availability, error budget left and its burn rate, latency."""

from parts import (CODES, GREEN, JOBS, RED, STATUSES, YELLOW, bad_over, bad_under, dashboard, panel, q, states, steps)
from queries import FAULTS, HANDLED, REST, REST_FAULTS, UNARY, increase, rate, server

OF = '{job=~"$job"}'
BUDGET = f"on (job, protocol) (1 - job:slo_objective:ratio{OF})"
LEFT = f"1 - job:slo_errors:ratio_rate3d{OF} / {BUDGET}"
DAY = 24 * 3600
NAMED = "{{job}} {{protocol}}"
GONE = [{"type": "range", "options": {"from": None, "to": 0, "result": {"text": "gone", "index": 0}}}]
FAST, ALL = (server("handling_seconds_bucket", UNARY, 'le="0.25"'), server("handling_seconds_count", UNARY))


def burn(window):
    return f"job:slo_errors:ratio_rate{window}{OF} / {BUDGET}"


def available(whole, bad):
    whole, bad = increase(whole, "job"), increase(bad, "job")
    return f"1 - ({bad} or 0 * {whole}) / ({whole} > 0)"


def now():
    return [
        panel("stat", "Availability over the range", "Share of gRPC calls, and of REST requests, that did not end in a "
              "fault; the objective is 99 %.", "percentunit",
              [q(available(HANDLED, FAULTS), "{{job}} gRPC"), q(available(REST, REST_FAULTS), "{{job}} REST")], 24, 4,
              bad_under(0.99), none="no traffic"),
        panel("bargauge", "Error budget left", "Share of the faults allowed in three days that is left.",
              "percentunit", [q(LEFT, NAMED)], 8, 8, steps((None, RED), (0.0, YELLOW), (0.25, GREEN)),
              none="no traffic", defaults={"min": 0, "max": 1, "mappings": GONE},
              options={"orientation": "horizontal", "displayMode": "basic"}),
        panel("stat", "Time until the budget is gone", "At the burn rate of the last hour, for what burns faster than "
              "the objective allows.", "s", [q(f"clamp_min({LEFT}, 0) * {3 * DAY} / ({burn('1h')} > 1)", NAMED)], 8, 8,
              bad_under(DAY), none="nothing burns", defaults={"mappings": states({"0": "gone"})}),
        panel("stat", "Calls under 250 ms over the range", "Share of unary calls that took at most 250 ms; the "
              "objective is 99 %.", "percentunit",
              [q(f'{increase(FAST, "job")} / ({increase(ALL, "job")} > 0)', "{{job}}")], 8, 8, bad_under(0.99),
              none="no unary calls"),
    ]


def burning(short, long, limit, does):
    """The two windows that an alert combines; the long one is dashed."""
    dashed = {"matcher": {"id": "byRegexp", "options": f"/ {long}$/"},
              "properties": [{"id": "custom.lineStyle", "value": {"fill": "dash", "dash": [8, 8]}}]}
    return panel("timeseries", f"Burn rate over {short} and {long}", "Speed at which the budget is spent: 1 spends it "
                 f"exactly; if both are over the line, an alert {does}.", "short",
                 [q(f"{burn(window)} > 0", f"{NAMED} {window}") for window in (short, long)], 12, 7, bad_over(limit),
                 none="nothing burns", high=1.2 * limit, overrides=[dashed])


def over_time():
    return [
        *(burning(*pair) for pair in (("5m", "1h", 14.4, "pages"), ("30m", "6h", 6, "pages"),
                                      ("2h", "1d", 3, "opens a ticket"), ("6h", "3d", 1, "opens a ticket"))),
        panel("timeseries", "Calls under 250 ms", "Share of unary calls that take at most 250 ms; the line is the "
              "objective and no alert.", "percentunit",
              [q(f'{rate(FAST, "job")} / ({rate(ALL, "job")} > 0)', "{{job}}")],
              none="no unary calls", low=None, thresholds=bad_under(0.99), defaults={"max": 1},
              custom={"axisSoftMin": 0.98}),
        panel("timeseries", "Faults", "Faults per second, by service and gRPC code or REST status.", "reqps",
              [q(rate(FAULTS, "job, grpc_code") + " > 0", "{{job}} {{grpc_code}}"),
               q(rate(REST_FAULTS, "job, status") + " > 0", "{{job}} {{status}}")], colours=CODES + STATUSES,
              none="no faults"),
    ]


def board():
    return dashboard("mesh-slo", "Mesh SLO", "Objectives: 99 % without a fault, for gRPC and REST; how fast the budget "
                     "burns.", [*now(), *over_time()], [JOBS])
