# SPDX-License-Identifier: MIT
"""A served page, and what a program asks it."""
import collections
import http.client
import json
import re
import signal
import socket

import harness

ADDRESS = r"http://([\d.]+|localhost):?(\d*)/(\S*)"
ROUTES = [("GET", "/"), ("GET", "/page.css"), ("GET", "/page.js"), ("GET", "/api/status"),
          ("GET", "/api/functions"), ("GET", "/api/threads"), ("GET", "/api/timeline"),
          ("GET", "/api/stacks"), ("GET", "/api/profile?format=text"), ("GET", "/api/calls"),
          ("GET", "/debug/pprof/profile?seconds=1"), ("GET", "/metrics"),
          ("POST", "/api/pause"), ("POST", "/api/resume"), ("POST", "/api/reset"),
          ("POST", "/api/interval?interval=20ms"), ("POST", "/api/snapshot"), ("POST", "/api/stop"),
          ("GET", "/ox_profile/"),
          ("GET", "/ox_profile/status"), ("POST", "/ox_profile/pause"),
          ("POST", "/ox_profile/unpause"), ("POST", "/ox_profile/set_interval?interval=20ms")]

Answer = collections.namedtuple("Answer", "status headers body")


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=harness.END_S)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class Page(harness.Oxprof):
    """`oxprof serve`, once it says where."""

    def __init__(self, *args, unix=None):
        super().__init__("serve", *args)
        self.unix = unix
        match = self.err.wait_for(ADDRESS)
        if not match:
            self.__exit__()
            raise AssertionError(f"no address: {self.texts()}")
        self.host, self.port = match.group(1), int(match.group(2) or 0)
        self.root = "/" + match.group(3).rstrip("/")
        self.url = match.group(0)
        self.netloc = "localhost" if unix else f"{self.host}:{self.port}"

    def connect(self):
        if self.unix:
            return UnixConnection(self.unix)
        return http.client.HTTPConnection(self.host, self.port, timeout=harness.END_S)

    def ask(self, method, path, headers=None, body=None, root=None):
        """The answer to one request on a connection of its own."""
        connection = self.connect()
        try:
            base = self.root.rstrip("/") if root is None else root
            connection.request(method, base + path, body, headers or {})
            answer = connection.getresponse()
            return Answer(answer.status, answer.headers, answer.read())
        finally:
            connection.close()

    def get(self, path):
        """JSON of a path that must be there."""
        answer = self.ask("GET", path)
        if answer.status != 200:
            raise AssertionError(f"{path}: {answer.status} {answer.body!r}")
        return json.loads(answer.body)

    def post(self, path):
        """The answer to a change; asked again while the sampler is busy."""
        return harness.wait_until(
            lambda: (a := self.ask("POST", path)).status not in (202, 503) and a, path)

    def status(self):
        return self.get("/api/status")

    def wait_samples(self, n=1):
        """The status once there are as many samples."""
        return harness.wait_until(lambda: (s := self.status())["samples"] >= n and s,
                                  f"{n} samples on the page")

    def metrics(self):
        text = self.ask("GET", "/metrics").body.decode()
        return {key: float(value) for key, value in
                re.findall(r"^([^#\s]+) (\S+)$", text, re.M)}

    def finish(self):
        """Ends it as a user would; its result."""
        self.send(signal.SIGTERM)
        return self.result()
