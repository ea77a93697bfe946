#!/usr/bin/env python3
"""Checks .github: ci.yml runs the recipes of .ci/run, its actions are pinned, and the issue forms are well formed."""

import re
import subprocess
import unittest
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))
# The hosted workflow alone has the network and the time for these.
HOSTED_ONLY = {"advisories", "semver"}


def workflow(path):
    return yaml.safe_load(path.read_text())


def local_recipes():
    """The recipes of .ci/run, in order."""
    lines = re.findall(r"^just ([\w -]+)$", (ROOT / ".ci/run").read_text(), re.MULTILINE)
    return [recipe for line in lines for recipe in line.split()]


def hosted_recipes():
    """The recipes of ci.yml, in order."""
    matrix = workflow(ROOT / ".github/workflows/ci.yml")["jobs"]["checks"]["strategy"]["matrix"]
    return [recipe for group in matrix["recipes"] for recipe in group.split()]


class Recipes(unittest.TestCase):
    def test_both_forms_of_ci_run_the_same_recipes_once(self):
        local, hosted = local_recipes(), hosted_recipes()
        self.assertTrue(local)
        self.assertEqual(sorted(hosted), sorted([*local, *HOSTED_ONLY]))

    def test_every_recipe_exists(self):
        just = subprocess.run(["just", "--summary"], cwd=ROOT, check=True, capture_output=True, text=True)
        self.assertLessEqual({*local_recipes(), *hosted_recipes()}, set(just.stdout.split()))

    def test_conditional_steps_name_jobs_that_exist(self):
        job = workflow(ROOT / ".github/workflows/ci.yml")["jobs"]["checks"]
        groups = job["strategy"]["matrix"]["recipes"]
        named = [name for step in job["steps"] for name in re.findall(r"[\"']([\w -]+)[\"']", step.get("if", ""))]
        self.assertTrue(named)
        self.assertLessEqual(set(named), set(groups))


class Workflows(unittest.TestCase):
    def test_actions_are_pinned_by_commit_with_their_version_beside(self):
        used = [line.strip() for path in WORKFLOWS for line in path.read_text().splitlines() if "uses:" in line]
        self.assertTrue(used)
        for line in used:
            self.assertRegex(line, r"^- uses: [\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$")

    def test_the_token_can_only_read(self):
        for path in WORKFLOWS:
            read = workflow(path)
            self.assertEqual(read["permissions"], {"contents": "read"}, path.name)
            for name, job in read["jobs"].items():
                self.assertNotIn("permissions", job, f"{path.name}: {name}")

    def test_every_job_has_a_time_limit(self):
        for path in WORKFLOWS:
            for name, job in workflow(path)["jobs"].items():
                self.assertLessEqual(job["timeout-minutes"], 90, f"{path.name}: {name}")


class IssueForms(unittest.TestCase):
    def test_forms_have_the_keys_that_github_requires(self):
        forms = [path for path in (ROOT / ".github/ISSUE_TEMPLATE").glob("*.yml") if path.name != "config.yml"]
        self.assertTrue(forms)
        for path in forms:
            form = workflow(path)
            self.assertLessEqual({"name", "description", "body"}, form.keys(), path.name)
            ids = [field["id"] for field in form["body"]]
            self.assertEqual(len(ids), len(set(ids)), path.name)
            for field in form["body"]:
                self.assertIn(field["type"], {"dropdown", "input", "textarea"}, path.name)
                self.assertTrue(field["attributes"]["label"], path.name)
                self.assertEqual("options" in field["attributes"], field["type"] == "dropdown", field["id"])


if __name__ == "__main__":
    unittest.main()
