"""Numbers in the units that the dashboards use, written as Grafana writes them."""

import math
import time

SECONDS = [(31536000, "years"), (604800, "weeks"), (86400, "days"), (3600, "hours"), (60, "mins"), (1, "s")]


def digits(value, most=3):
    """Three significant digits, without zeros at the end."""
    if value == 0:
        return "0"
    places = max(0, min(most, 2 - math.floor(math.log10(abs(value)))))
    text = f"{value:.{places}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def seconds(value):
    size = abs(value)
    if size == 0:
        return "0 s"
    if size < 1e-3:
        return f"{digits(value * 1e6)} µs"
    if size < 1:
        return f"{digits(value * 1e3)} ms"
    for length, name in SECONDS:
        if size >= length:
            return f"{digits(value / length)} {name}"
    return f"{value}"


def scaled(value, base, names):
    power = 0
    while abs(value) >= base and power < len(names) - 1:
        value, power = value / base, power + 1
    return f"{digits(value)}{names[power]}"


def worded(value, unit, mappings):
    """A value in the words of its mappings, or in its unit."""
    for mapping in mappings:
        options = mapping["options"]
        if mapping["type"] == "value" and f"{value:g}" in options:
            return options[f"{value:g}"]["text"]
        if mapping["type"] == "range":
            low, high = options["from"], options["to"]
            if (low is None or value >= low) and (high is None or value <= high):
                return options["result"]["text"]
    return written(value, unit)


def written(value, unit):
    if value is None or math.isnan(value):
        return "-"
    if math.isinf(value):
        return "∞" if value > 0 else "-∞"
    if unit == "s":
        return seconds(value)
    if unit == "h":
        return f"{digits(value)} hours"
    if unit == "percentunit":
        return f"{digits(value * 100)}%"
    if unit == "bytes":
        return scaled(value, 1024, [" B", " KiB", " MiB", " GiB", " TiB", " PiB"])
    if unit == "dateTimeFromNow":
        return f"{seconds(max(0, round(time.time() - value / 1000)))} ago"
    if unit.startswith("suffix:"):
        return f"{digits(value)} {unit.removeprefix('suffix:')}"
    suffix = {"reqps": " req/s", "cpm": " c/m", "rps": " rd/s", "mps": " msg/s"}.get(unit, "")
    if unit == "none":
        return digits(value)
    return scaled(value, 1000, ["", " K", " Mil", " Bil"]) + suffix
