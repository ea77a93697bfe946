#!/usr/bin/env python3
"""Checks alerts on a running mesh: none while it is healthy, the right ones while a service is down, none after that.

    alerts.py PROGRAMS      runs these checks on the services' programs, without containers
"""

import json
import re
import sys
import tempfile
import threading
import time
import urllib.parse
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# During startup, services are down and have sent no heartbeat, so alerts may be pending.
STARTING, QUIET = 30, 120
# Three intervals of 10 s until a heartbeat is late, a minute until the alert fires, plus scrapes and evaluations.
UNTIL_FIRING, UNTIL_CLEAR = 130, 45
# Alerts that must fire while a service is down, and the label with its name.
AWAY = {"MeshTargetDown": "job", "MeshHeartbeatMissing": "service"}


def ask(url, path, **values):
    query = urllib.parse.urlencode(values)
    with urllib.request.urlopen(f"{url}/api/v1/{path}?{query}", timeout=10) as answer:
        return json.load(answer)["data"]


def seen(url, selector):
    """Labels of the current series of a selector."""
    return [one["metric"] for one in ask(url, "query", query=selector)["result"]]


def listed(alerts):
    return ", ".join(sorted(f"{one['alertname']} {one['alertstate']} ({one.get('service') or one.get('job')})"
                            for one in alerts))


def check_rules(url, check):
    files = [path.read_text() for path in (ROOT / "deploy/prometheus/rules").glob("*.yml")]
    written = {name for text in files for name in re.findall(r"- (?:alert|record): (\S+)", text)}
    rules = {rule["name"]: rule["health"] for group in ask(url, "rules")["groups"] for rule in group["rules"]}
    check("Prometheus has every rule of deploy/prometheus/rules", rules.keys() == written, f"{len(rules)} rules")
    sick = {name: health for name, health in rules.items() if health not in ("ok", "unknown")}
    check("and evaluates all of them", not sick, f"{sick}" if sick else "")


def started(url):
    """Whether every expected service has sent a heartbeat and no alert is pending any more."""
    expected = seen(url, "mesh_heartbeat_expected_interval_seconds")
    silent = seen(url, "mesh_heartbeat_expected_interval_seconds unless on (service) "
                       "mesh_heartbeat_last_seen_timestamp_seconds > 0")
    return expected and not silent and not seen(url, "ALERTS")


class Watch:
    """After startup, no alert may fire or be pending."""

    def __init__(self, url, until):
        until(STARTING, lambda: started(url), every=1)
        self.url, self.began = url, time.time()

    def check_quiet(self, check):
        """Waits until two minutes have passed."""
        time.sleep(max(0, self.began + QUIET - time.time()))
        lasted = int(time.time() - self.began)
        found = seen(self.url, f'count_over_time(ALERTS{{alertname=~"Mesh.*"}}[{lasted}s])')
        check(f"on a healthy mesh no alert fires or is pending for {lasted} s", not found, listed(found))


def firing(url, service):
    found = seen(url, 'ALERTS{alertstate="firing"}')
    return {one["alertname"] for one in found if one.get(AWAY.get(one["alertname"])) == service}


def check_fires(url, check, service, until):
    began = time.monotonic()
    until(UNTIL_FIRING, lambda: firing(url, service) == AWAY.keys(), every=1)
    found = firing(url, service)
    check(f"without {service}, {' and '.join(AWAY)} fire", found == AWAY.keys(),
          f"after {time.monotonic() - began:.0f} s" if found == AWAY.keys() else f"only {sorted(found)}")


def check_clears(url, check, service, until):
    about = f'{{job="{service}"}} or ALERTS{{service="{service}"}}'
    began = time.monotonic()
    until(UNTIL_CLEAR, lambda: not seen(url, f"ALERTS{about}"), every=1)
    left = seen(url, f"ALERTS{about}")
    check(f"{service} is back, and its alerts are gone", not left,
          listed(left) if left else f"after {time.monotonic() - began:.0f} s")


def main(programs):
    sys.path.insert(0, str(ROOT / "tests/dashboards"))
    import mesh as running

    failed = []

    def check(name, good, detail=""):
        print(f"{'ok  ' if good else 'FAIL'} {name}" + (f": {detail}" if detail else ""), flush=True)
        failed.extend([] if good else [name])

    def until(seconds, probe, every):
        end = time.monotonic() + seconds
        while not probe() and time.monotonic() < end:
            time.sleep(every)

    def call(ended, url):
        while not ended.wait(0.5):
            running.get(url)

    with tempfile.TemporaryDirectory() as scratch, running.Mesh(programs, scratch) as mesh:
        ended = threading.Event()
        traffic = threading.Thread(target=call, args=(ended, f"http://{mesh.http['edge']}/proxy/Ana"))
        traffic.start()
        try:
            until(30, lambda: len(mesh.query("up == 1")) == len(running.JOBS) + 1, every=1)
            check_rules(mesh.url, check)
            Watch(mesh.url, until).check_quiet(check)
            mesh.stop("time")
            check_fires(mesh.url, check, "time", until)
            mesh.start("time")
            check_clears(mesh.url, check, "time", until)
        finally:
            ended.set()
            traffic.join()
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    main(sys.argv[1])
