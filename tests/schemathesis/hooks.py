"""Keeps responses short: the largest valid n returns hundreds of MB."""

import json

import schemathesis

SHORT, MOST = 2000, 10_000_000


@schemathesis.hook
def before_call(context, case, kwargs):
    n = str((case.path_parameters or {}).get("n"))
    if n.isdigit() and SHORT < int(n) <= MOST:
        case.path_parameters["n"] = int(n) % SHORT + 1


@schemathesis.deserializer("application/x-ndjson")
def first_line(context, response):
    return json.loads(response.text.splitlines()[0])
