#!/usr/bin/env python3
"""Writes grafana/dashboards/*.json. `--check` writes nothing, and fails if a file is out of date."""

import json
import pathlib
import sys

from boards import client, heartbeats, method, overview, runtime, service, slo

OUT = pathlib.Path(__file__).parent / "dashboards"


def main():
    stale = []
    for board in (overview, service, method, client, heartbeats, runtime, slo):
        made = board.board()
        path, text = OUT / f"{made['uid']}.json", json.dumps(made, indent=2, ensure_ascii=False) + "\n"
        if "--check" not in sys.argv[1:]:
            path.write_text(text)
        elif not path.exists() or path.read_text() != text:
            stale.append(path.name)
    if stale:
        sys.exit(f"out of date, run grafana/generate.py: {', '.join(stale)}")


if __name__ == "__main__":
    main()
