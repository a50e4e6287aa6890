#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Programs that collect from a served page: Prometheus, and go tool pprof straight from its address.

prometheus and promtool (Debian: prometheus, 20 MB) are used where PATH has them. Its package starts a
server of its own; `apt-get download prometheus && dpkg -x` to a folder on PATH does not.
"""
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import unittest
import urllib.parse
import urllib.request

import harness
from harness import Target, wait_until
from page import Page

CONFIGURATION = """
global:
  scrape_interval: 1s
scrape_configs:
  - job_name: oxprof
    metrics_path: %s/metrics
    static_configs:
      - targets: ["%s"]
"""


def needs(program):
    return unittest.skipUnless(shutil.which(program), f"no {program}")


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Collectors(harness.Case):
    @classmethod
    def setUpClass(cls):
        cls.target = Target("spin")
        cls.page = Page("-p", cls.target.pid)
        cls.page.wait_samples(20)

    @classmethod
    def tearDownClass(cls):
        with cls.page as page, cls.target as target:
            result = page.finish()
            target.finish()
        if result.code != 0:
            raise AssertionError(result)

    @needs("promtool")
    def test_promtool(self):
        """Not a word about /metrics: names, types, help, units."""
        check = subprocess.run(["promtool", "check", "metrics"], capture_output=True, check=False,
                               input=self.page.ask("GET", "/metrics").body, timeout=harness.END_S)
        self.assertEqual((check.returncode, check.stdout, check.stderr), (0, b"", b""))

    @needs("prometheus")
    def test_prometheus(self):
        """A real server scrapes it, and knows what we counted."""
        folder, port = self.folder(), free_port()
        with open(os.path.join(folder, "prometheus.yml"), "w", encoding="ascii") as file:
            file.write(CONFIGURATION % (self.page.root, self.page.netloc))
        with harness.Process(["prometheus", f"--config.file={folder}/prometheus.yml",
                              f"--storage.tsdb.path={folder}/data",
                              f"--web.listen-address=127.0.0.1:{port}"]) as server:
            metric = f'oxprof_samples_total{{pid="{self.target.pid}",state="cpu"}}'
            counted = wait_until(lambda: self.query(port, metric), "a scrape")
            self.assertGreater(float(counted[0]["value"][1]), 0)
            self.assertEqual(self.query(port, 'up{job="oxprof"}')[0]["value"][1], "1")
            self.assertTrue(self.query(port, 'oxprof_stop_seconds_bucket{le="+Inf"}'))
            server.send(signal.SIGTERM)
            server.wait()

    def query(self, port, text):
        """What the server answers; nothing before it is up."""
        url = f"http://127.0.0.1:{port}/api/v1/query?" + urllib.parse.urlencode({"query": text})
        try:
            with urllib.request.urlopen(url, timeout=harness.END_S) as answer:
                return json.load(answer)["data"]["result"]
        except OSError:
            return None

    @needs("go")
    def test_go_tool_pprof(self):
        """From the address that the page names: the functions of the next two seconds."""
        environment = {**os.environ, "PPROF_TMPDIR": self.folder(), "HOME": self.folder()}
        url = f"http://{self.page.netloc}{self.page.root}/debug/pprof/profile?seconds=2"
        result = subprocess.run(["go", "tool", "pprof", "-top", "-sample_index=0", url], check=False,
                                capture_output=True, text=True, env=environment,
                                timeout=harness.END_S)
        self.assertEqual(result.returncode, 0, result.stderr)
        match = re.search(r"(\d+)(?:ms|s)? +[\d.]+% +[\d.]+% .* spin_here$", result.stdout, re.M)
        self.assertTrue(match and int(match.group(1)) > 0, result.stdout)


if __name__ == "__main__":
    harness.main()
