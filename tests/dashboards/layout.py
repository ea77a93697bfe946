#!/usr/bin/env python3
"""Checks the layout: panels do not overlap, and columns of tables fit their text and a small screen."""

import unittest

import model


# Grafana makes no column narrower.
NARROWEST = 50
# Inside a panel of 750 pixels. A letter of Grafana's Inter, 14 pixels high, takes 7.2 at most on average; a cell has 6
# more on each side.
INSIDE, LETTER, AROUND = 734, 7.2, 12


def needed(text):
    return LETTER * len(text) + AROUND


def titles(panel):
    """Titles of columns by field, in order."""
    return panel["transformations"][-1]["options"]["renameByName"]


def settings(panel):
    """The properties of each column."""
    columns = {title: {} for title in titles(panel).values()}
    for rule in panel["fieldConfig"]["overrides"]:
        columns[rule["matcher"]["options"]] |= {part["id"]: part["value"] for part in rule["properties"]}
    return columns


def widths(panel):
    """Widths of columns as computeColWidths of Grafana's table has them."""
    given = {name: (one.get("custom.width", 0), one.get("custom.minWidth", 150))
             for name, one in settings(panel).items()}
    given = {name: (width and max(width, NARROWEST), least) for name, (width, least) in given.items()}
    left = INSIDE - sum(width for width, _ in given.values())
    shares = sum(not width for width, _ in given.values())
    return {name: width or max(least, left / shares) for name, (width, least) in given.items()}


class Layout(unittest.TestCase):
    def test_panels_do_not_overlap(self):
        for board in map(model.load, model.DASHBOARDS):
            taken = {}
            for panel in model.panels(board):
                grid = panel["gridPos"]
                self.assertTrue(grid["w"] > 0 and grid["h"] > 0 and 0 <= grid["x"] <= 24 - grid["w"], panel["title"])
                for x in range(grid["x"], grid["x"] + grid["w"]):
                    for y in range(grid["y"], grid["y"] + grid["h"]):
                        self.assertNotIn((x, y), taken, f"{board['uid']}: {panel['title']} covers {taken.get((x, y))}")
                        taken[x, y] = panel["title"]

    def test_tables_are_readable_at_750_pixels(self):
        """A panel over half of a wide screen has 750 pixels, and so has every panel on a small one."""
        alerts = max((name for _, kind, name, _ in model.rules() if kind == "alert"), key=len)
        for board in map(model.load, model.DASHBOARDS):
            for panel in model.panels(board):
                if panel["type"] != "table":
                    continue
                where = f"{board['uid']}/{panel['title']}"
                sizes = widths(panel)
                for name, size in sizes.items():
                    self.assertGreaterEqual(size, needed(name), f"{where}: the head of {name}")
                self.assertLessEqual(sum(sizes.values()), INSIDE, f"{where}: {sizes}")
                # Names come first.
                named = [name.startswith("Value") for name in titles(panel)]
                self.assertEqual(named, sorted(named), where)
                if "Alert" in sizes:
                    self.assertGreaterEqual(sizes["Alert"], needed(alerts), "alert names are whole")


if __name__ == "__main__":
    unittest.main()
