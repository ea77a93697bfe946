#!/usr/bin/env python3
"""Checks the layout: panels do not overlap, and columns of tables fit their text and a small screen."""

import unittest

import model


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
        """As in computeColWidths of Grafana's table: a column has its width, or a share of the rest, at least its
        minWidth. A panel over half of a wide screen has 750 pixels, and so has every panel on a small one.
        """
        alerts = max((name for _, kind, name, _ in model.rules() if kind == "alert"), key=len)
        for board in map(model.load, model.DASHBOARDS):
            for panel in model.panels(board):
                if panel["type"] != "table":
                    continue
                where = f"{board['uid']}/{panel['title']}"
                renamed = panel["transformations"][-1]["options"]["renameByName"]
                columns = {title: {} for title in renamed.values()}
                for rule in panel["fieldConfig"]["overrides"]:
                    columns[rule["matcher"]["options"]] |= {part["id"]: part["value"] for part in rule["properties"]}
                sizes = {name: one.get("custom.width", one.get("custom.minWidth")) for name, one in columns.items()}
                self.assertNotIn(None, sizes.values(), f"{where}: {sizes}")
                # Text is 14 pixels high; a letter of it has 8 pixels at most on average, and a cell 6 on each side.
                for name, size in sizes.items():
                    self.assertGreaterEqual(size, 7.5 * len(name) + 12, f"{where}: the head of {name}")
                self.assertLessEqual(sum(sizes.values()), 750 - 2 * 8, f"{where}: {sizes}")
                # Names come first, and take the room that is left.
                named = [name.startswith("Value") for name in renamed]
                self.assertEqual(named, sorted(named), where)
                self.assertIn("custom.minWidth", columns[next(iter(columns))], where)
                if "Alert" in sizes:
                    self.assertGreaterEqual(sizes["Alert"], 8 * len(alerts) + 12, "alert names are whole")


if __name__ == "__main__":
    unittest.main()
