# SPDX-License-Identifier: MIT
"""CPython as a Python developer meets it: servers under load, and a pool of processes."""
import http.client
import json
import os
import re
import subprocess
import sys

import service

PYTHON = "/usr/bin/python3"


def script(name):
    return os.path.join(service.PROGRAMS, name)


def defined(name, file):
    """A pattern for a function of a script, with the line where it is defined: its decorator's."""
    text = service.read_file(script(file))
    place = re.search(rf"^( *@.*\n)? *def {name.split('.')[-1]}\(", text, re.M).start()
    return rf"^{re.escape(name)} \(\S*/{file}:{text.count(chr(10), 0, place) + 1}\)$"


class Python(service.Service):
    """the distribution's CPython, a threaded line server, its answers verified"""

    goal = 0.001

    def command(self):
        return [service.need("python3", PYTHON), script("worker.py"), str(self.port)]

    def loads(self):
        return [service.worker_load(self, (1000, 5000))]

    def runs(self):
        names = [f"cpu python: {defined(name, 'worker.py')}" for name in
                 ("crunch", "tally", "step", "Handler.handle")]
        names += [rf"any: ^(Py_RunMain|Py_BytesMain) \({service.module_of(PYTHON)}\)$",
                  "wait: " + service.libc("poll")]
        yield ["-p", str(self.process.pid)], [self.process.pid], names

    def judge(self, report):
        bad = report.truncated + report.failed() + report.torn
        if bad > 2 + report.samples / 1000:
            raise service.Failure(f"{bad} of {report.samples} stacks truncated, failed or torn")


class Web(Python):
    """http.server's ThreadingHTTPServer under wrk and a client that verifies its answers"""

    handler = "Handler.do_GET"

    def command(self):
        return [service.need("python3", PYTHON), script("web.py"), str(self.port)]

    def loads(self):
        argv = [service.need("wrk"), "-t", "1", "-c", "3", "-d", f"{self.load_s}s", "--timeout",
                "10s", f"http://127.0.0.1:{self.port}/200"]
        return [service.CommandLoad(self, argv, service.wrk_verdict),
                service.ThreadLoad(self, self.connect, get_verified, clients=1)]

    def connect(self):
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=service.STOP_S), {}

    def runs(self):
        names = [f"cpu python: {defined(name, 'web.py')}" for name in
                 (self.handler, "render", "document")]
        names += [f"cpu python: {defined(name, 'worker.py')}" for name in
                  ("crunch", "tally", "step")]
        yield ["-p", str(self.process.pid)], [self.process.pid], names


class Flask(Web):
    """Flask's own threaded server, as Web"""

    handler = "serve_flask.<locals>.page"
    # It makes a thread for each request. One that has not run yet stands in clone3 where glibc has
    # no CFI: 1 to 6 % of the samples, all of them there.
    has_cfi = False

    def judge(self, report):
        if report.torn > 2 + report.samples / 500:
            raise service.Failure(f"{report.torn} of {report.samples} stacks torn")

    def command(self):
        if subprocess.run([PYTHON, "-c", "import flask"], stderr=subprocess.DEVNULL).returncode:
            raise service.Skip("python3-flask is not installed")
        return [*super().command(), "flask"]


def get_verified(state):
    connection, known = state
    n = 100 + len(known) % 3
    known.setdefault(n, service.answer(n))
    connection.request("GET", f"/{n}")
    response = connection.getresponse()
    body = json.loads(response.read())
    service.expect_equal(response.status, 200)
    service.expect_equal((body["n"], body["crunch"] ^ body["tally"]), (n, known[n]))


class Rounds:
    """What the pool has done; it ends at a wrong answer."""

    def __init__(self, pool):
        self.pool = pool

    def finish(self):
        if self.pool.process.poll() is not None:
            raise service.Failure(f"the pool ended: {service.read_file(self.pool.log_path())}")
        return service.read_file(self.pool.log_path()).count("round\n")


class Pool(Python):
    """a multiprocessing pool, found with --children; each answer verified there"""

    def command(self):
        return [service.need("python3", PYTHON), "-u", script("pool.py")]

    def connected(self):
        if "round\n" not in service.read_file(self.log_path()):
            raise ConnectionRefusedError
        return True

    def loads(self):
        return [Rounds(self)]

    def runs(self):
        self.workers = service.children(self.process.pid)
        service.expect_equal(len(self.workers), 3)
        names = [f"cpu python: {defined('answer', 'pool.py')}"]
        names += [f"cpu python: {defined(name, 'worker.py')}" for name in ("crunch", "step")]
        yield (["-p", str(self.process.pid), "--children", "--threads"],
               [self.process.pid, *self.workers], names)

    def judge(self, report):
        super().judge(report)
        for worker in self.workers:
            rows = [row for row in report.rows if row.tid == worker and row.block == "on CPU"]
            samples = sum(row.own for row in rows)
            answer = sum(row.total for row in rows
                         if re.search(defined("answer", "pool.py"), row.function))
            print(f"  worker {worker}: {answer} of {samples} in answer()", flush=True)
            if answer < 0.8 * samples or samples < report.on_cpu / 10:
                raise service.Failure(f"worker {worker}: {answer} of {samples} in answer()")


def optional(outcome):
    """Flask is extra: without it the others have passed, and it says so."""
    if outcome == service.SKIPPED:
        print("Flask: NOT TESTED", flush=True)
        return 0
    return outcome


if __name__ == "__main__":
    sys.exit(service.main(Python, Web, Pool) or optional(service.main(Flask)))
