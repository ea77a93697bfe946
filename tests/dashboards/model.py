"""Reads dashboards, rules and saved metrics pages, for the lint and the live checks."""

import collections
import json
import pathlib
import re

ROOT = pathlib.Path(__file__).resolve().parents[2]
DASHBOARDS = sorted((ROOT / "grafana/dashboards").glob("*.json"))
RULES = sorted((ROOT / "deploy/prometheus/rules").glob("*.yml"))


def load(path):
    return json.loads(path.read_text())


def panels(board):
    """Every panel and row, with those inside collapsed rows."""
    for panel in board["panels"]:
        yield panel
        yield from panel.get("panels", [])


Query = collections.namedtuple("Query", "where expr instant panel")


def expressions(board):
    """Each query of panels, variables and annotations; `panel` is None for the latter two."""
    for panel in panels(board):
        for target in panel.get("targets", []):
            where = f"{board['uid']}/{panel['title']}/{target['refId']}"
            yield Query(where, target["expr"], target.get("instant", False), panel)
    for variable in board["templating"]["list"]:
        if variable["type"] == "query":
            yield Query(f"{board['uid']}/${variable['name']}", variable["query"]["query"], True, None)
    for note in board["annotations"]["list"]:
        yield Query(f"{board['uid']}/annotation {note['name']}", note["target"]["expr"], False, None)


def rules():
    """(file, kind, name, expression) of each rule. Reads only the subset of YAML that these files use."""
    for path in RULES:
        lines = path.read_text().splitlines()
        for number, line in enumerate(lines):
            head = re.match(r"( *)- (record|alert): (\S+)$", line)
            if not head:
                continue
            inner = len(head[1]) + 2
            at = next(n for n in range(number + 1, len(lines)) if lines[n].startswith(" " * inner + "expr:"))
            expr = lines[at].split("expr:", 1)[1].strip()
            if expr == "|":
                block = []
                for text in lines[at + 1:]:
                    if text.strip() and len(text) - len(text.lstrip()) <= inner:
                        break
                    block.append(re.sub(r"^\s*#.*", "", text))
                expr = "\n".join(block).strip()
            yield path.name, head[2], head[3], expr


def runbooks():
    """(alert, expression) of each query in docs/runbooks."""
    for path in sorted((ROOT / "docs/runbooks").glob("*.md")):
        for block in re.findall(r"```text\n(.*?)```", path.read_text(), re.S):
            for expr in block.splitlines():
                yield path.stem, expr


def families(folder):
    """(type, label names, services) by family, from the saved pages `<service>.txt`."""
    found = {}
    for page in sorted(pathlib.Path(folder).glob("*.txt")):
        kinds = {}
        for line in page.read_text().splitlines():
            if line.startswith("# TYPE "):
                _, _, name, kind = line.split()
                kinds[name] = kind
                found.setdefault(name, (kind, set(), set()))[2].add(page.stem)
            elif line and not line.startswith("#"):
                name = re.match(r"[a-zA-Z_:][\w:]*", line)[0]
                base = name if name in kinds else re.sub(r"_(bucket|sum|count)$", "", name)
                if base not in kinds:
                    raise ValueError(f"{page.name}: {name} has no TYPE")
                found[base][1].update(re.findall(r'([a-zA-Z_]\w*)="(?:[^"\\]|\\.)*"', line))
    return found


def counters(folder):
    """Values of all counter series, including parts of histograms, by service, name and labels."""
    kinds, found = families(folder), {}
    for page in pathlib.Path(folder).glob("*.txt"):
        for name, labels, value in re.findall(r"^(\w+)(\{.*\})? (\S+)", page.read_text(), re.M):
            base = name if name in kinds else re.sub(r"_(bucket|sum|count)$", "", name)
            if kinds[base][0] in ("counter", "histogram"):
                found[page.stem, name, labels] = float(value)
    return found
