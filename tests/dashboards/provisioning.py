#!/usr/bin/env python3
"""Checks that every path, host and id in the settings of compose, Prometheus and Grafana exists."""

import re
import unittest
from urllib.parse import urlsplit

import model
from model import ROOT

COMPOSE = (ROOT / "docker-compose.yml").read_text()
SCRAPED = (ROOT / "prometheus.yml").read_text()
SOURCES = "\n".join(path.read_text() for path in sorted((ROOT / "grafana/provisioning/datasources").glob("*.yml")))
PROVIDERS = [path.read_text() for path in sorted((ROOT / "grafana/provisioning/dashboards").glob("*.yml"))]


def services():
    """The text of each service of docker-compose.yml, by name."""
    body = re.search(r"^services:\n(.*?)^\w", COMPOSE, re.M | re.S)[1]
    parts = re.split(r"^  (\S+):\n", body, flags=re.M)[1:]
    return dict(zip(parts[::2], parts[1::2], strict=True))


def mounts(service):
    """Paths inside a service, and the folders and files of this repository mounted there."""
    named = re.findall(r'[ "]\./([^:\s]+):([^:\s]+):ro', services()[service])
    return {inside: outside for outside, inside in named}


def on_disk(service, inside):
    """The file or folder of this repository at a path inside a service, or None."""
    for mounted, outside in mounts(service).items():
        if inside == mounted or inside.startswith(mounted + "/"):
            return ROOT / (outside + inside.removeprefix(mounted))
    return None


class Provisioning(unittest.TestCase):
    def test_mounts_exist_and_are_read_only(self):
        # Docker creates a folder in place of a missing file.
        outside = re.findall(r'[ "](\./[^:\s]+):([^\s"]+)', COMPOSE)
        self.assertEqual(len(outside), COMPOSE.count("./"))
        for path, rest in outside:
            self.assertTrue((ROOT / path).exists(), path)
            self.assertTrue(rest.endswith(":ro"), path)

    def test_each_configuration_named_in_a_command_is_mounted(self):
        named = {name: re.findall(r'-config(?:\.file)?=([^\s"]+)', text) for name, text in services().items()}
        self.assertEqual([name for name, paths in named.items() if paths],
                         ["prometheus", "otel-collector", "tempo", "loki"])
        for name, paths in named.items():
            for path in paths:
                self.assertTrue((on_disk(name, path) or ROOT / "missing").is_file(), f"{name}: {path}")

    def test_grafana_finds_its_provisioning_and_the_dashboards(self):
        self.assertEqual(on_disk("grafana", "/etc/grafana/provisioning"), ROOT / "grafana/provisioning")
        for provider in PROVIDERS:
            folder = on_disk("grafana", re.search(r"path: (\S+)", provider)[1])
            self.assertEqual(sorted(folder.glob("*.json")), model.DASHBOARDS)
        home = on_disk("grafana", re.search(r"GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH: (\S+)", COMPOSE)[1])
        self.assertEqual(model.load(home)["uid"], "mesh-overview")

    def test_prometheus_finds_its_configuration_and_the_rules(self):
        named = re.search(r"--config\.file=(\S+)", services()["prometheus"])[1]
        self.assertEqual(on_disk("prometheus", named), ROOT / "prometheus.yml")
        loaded = re.search(r"rule_files:\s*- (\S+)/\*\.yml", SCRAPED)[1]
        self.assertEqual(sorted(on_disk("prometheus", loaded).glob("*.yml")), model.RULES)

    def test_every_data_source_in_use_is_provisioned(self):
        uids = re.findall(r"^    uid: (\S+)", SOURCES, re.M)
        self.assertEqual(len(uids), len(set(uids)))
        named = re.findall(r"datasourceUid: (\S+)", SOURCES)
        for path in model.DASHBOARDS:
            variables = model.load(path)["templating"]["list"]
            named += [one["current"]["value"] for one in variables if one["type"] == "datasource"]
        self.assertLessEqual(set(named), set(uids))

    def test_addresses_are_services_of_compose(self):
        urls = [urlsplit(url).hostname for url in re.findall(r"^    url: (\S+)", SOURCES, re.M)]
        urls += [urlsplit(url).hostname for url in re.findall(r"_URL: (http\S+)", COMPOSE)]
        targets = [target.split(":")[0] for target in re.findall(r'targets: \["([^"]+)"\]', SCRAPED)]
        self.assertTrue(urls and targets)
        self.assertLessEqual({*urls, *targets} - {"127.0.0.1"}, services().keys())

    def test_each_built_service_is_scraped_under_its_name(self):
        built = {name for name, text in services().items() if "build:" in text}
        jobs = dict(re.findall(r'job_name: (\S+)\n    static_configs: \[{targets: \["([^:"]+)', SCRAPED))
        self.assertEqual({job for job, host in jobs.items() if job == host}, built)

    def test_links_of_alerts_are_absolute_from_one_setting_each_and_lead_to_pages_that_exist(self):
        text = (ROOT / "deploy/prometheus/rules/alerts.yml").read_text()
        bases = {}
        for kind, path in (("dashboard", r"/d/([\w-]+)"), ("runbook", r"/(\w+)\.md'")):
            links = re.findall(rf"{kind}_url: '(.*?{{{{ end }}}}){path}", text)
            self.assertEqual(len(links), text.count(f"{kind}_url: "), kind)
            (base,) = {base for base, _ in links}
            setting = r"\$externalLabels\.(\w+)"
            pattern = rf'{{{{ if match "://" {setting} }}}}{{{{ {setting} }}}}{{{{ else }}}}(.*){{{{ end }}}}'
            label, again, bases[kind] = re.fullmatch(pattern, base).groups()
            self.assertEqual(label, again)
            # The setting is a label of prometheus.yml, and a variable of docker-compose.yml with the same default.
            self.assertIn(f"    {label}: ${{{label.upper()}}}\n", SCRAPED)
            self.assertIn(f"{label.upper()}: ${{{label.upper()}:-{bases[kind]}}}\n", services()["prometheus"])
            self.assertRegex(SCRAPED, rf"labeldrop, regex: \S*{label}")
            pages = {name for _, name in links}
            known = model.DASHBOARDS if kind == "dashboard" else (ROOT / "docs/runbooks").glob("*.md")
            self.assertLessEqual(pages, {path.stem for path in known})
        self.assertIn(f':${{GRAFANA_PORT:-{urlsplit(bases["dashboard"]).port}}}:', services()["grafana"])
        repository = re.search(r'^repository = "(.*)"', (ROOT / "Cargo.toml").read_text(), re.M)[1]
        self.assertEqual(bases["runbook"], f"{repository}/blob/main/docs/runbooks")
        # Tables of alerts link to the same pages.
        for path in model.DASHBOARDS:
            constants = {one["name"]: one["query"] for one in model.load(path)["templating"]["list"]}
            self.assertEqual(constants["runbooks"], bases["runbook"])
        (link,) = re.findall(r'"url": "([^"]*\.md)"', (ROOT / "grafana/dashboards/mesh-overview.json").read_text())
        self.assertEqual(link, "${runbooks}/${__value.text}.md")


if __name__ == "__main__":
    unittest.main()
