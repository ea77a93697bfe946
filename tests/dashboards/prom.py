"""A dashboard's queries as Grafana would send them to a running Prometheus."""

import json
import re
import time
import urllib.error
import urllib.parse
import urllib.request

SCRAPE = 5


class Prometheus:
    def __init__(self, url):
        self.url = url.rstrip("/")

    def ask(self, path, **values):
        """The response, success or error, and its duration in seconds."""
        data = urllib.parse.urlencode(values).encode()
        started = time.monotonic()
        try:
            with urllib.request.urlopen(f"{self.url}/api/v1/{path}", data, timeout=30) as answer:
                body = json.load(answer)
        except urllib.error.HTTPError as error:
            body = json.load(error)
        return body, time.monotonic() - started

    def instant(self, expr, at):
        return self.ask("query", query=expr, time=at)

    def over(self, expr, start, end, step):
        return self.ask("query_range", query=expr, start=start, end=end, step=step)

    def choices(self, query, chosen):
        """The values of a variable, in order: of a label of a series, or of an expression without labels."""
        if expr := query_result(query):
            body, _ = self.instant(fill(expr, chosen), time.time())
            return [row["value"][1] for row in body["data"]["result"]]
        series, label = label_values(query)
        body, _ = self.instant(f"group by ({label}) ({fill(series, chosen)})", time.time())
        return sorted(row["metric"][label] for row in body["data"]["result"])

    def chosen(self, board, seconds, choice=None):
        """A value for each variable of a dashboard: from `choice`, or the default when it opens."""
        chosen = {"__range": f"{seconds}s", **windows(max(SCRAPE, seconds // 1000))}
        for variable in board["templating"]["list"]:
            name = variable["name"]
            if variable["type"] == "query":
                found = self.choices(variable["query"]["query"], chosen)
                if not found:
                    raise AssertionError(f"{board['uid']}: ${name} has no value")
                wanted = (choice or {}).get(name, variable["current"].get("value"))
                if wanted in found:
                    chosen[name] = wanted
                else:
                    chosen[name] = ".*" if variable.get("includeAll") else found[0]
            elif name != "datasource":
                chosen[name] = variable["current"]["value"]
        return chosen


def label_values(query):
    """The series and the label of a variable's query."""
    return re.fullmatch(r"label_values\((.*), *(\w+)\)", query).groups()


def query_result(query):
    """The expression of a variable's query, if it is one."""
    found = re.fullmatch(r"query_result\((.*)\)", query)
    return found and found[1]


def windows(step):
    """$__interval and $__rate_interval at a step in seconds, as Grafana computes them."""
    return {"__interval": f"{step}s", "__rate_interval": f"{max(step + SCRAPE, 4 * SCRAPE)}s"}


def step_of(panel, chosen):
    """The step of a panel in seconds: the scrape interval, or its own if that is longer."""
    own = fill(panel.get("interval", ""), chosen)
    return max(SCRAPE, int(own[:-1]) * {"s": 1, "m": 60}[own[-1]]) if own else SCRAPE


def for_panel(panel, chosen):
    """The variables with this panel's step."""
    return {**chosen, **windows(step_of(panel, chosen))}


def fill(expr, chosen):
    # Longest names first, so that $job does not replace a part of $jobs.
    for name in sorted(chosen, key=len, reverse=True):
        expr = expr.replace(f"${name}", chosen[name])
    return expr
