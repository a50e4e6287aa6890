# SPDX-License-Identifier: MIT
import http.client
import os
import sys

import service

SIZES = (20000, 50000)


class Node(service.Service):
    """node, an HTTP server in JavaScript, its answers verified"""

    goal = 0.02  # V8's compiled code and builtins have no CFI

    def options(self):
        return []

    def command(self):
        return [service.need("node"), *self.options(), os.path.join(service.PROGRAMS, "worker.js"),
                str(self.port)]

    def loads(self):
        wanted = {n: b"%d\n" % service.answer(n) for n in SIZES}

        def operation(client):
            for n in SIZES:
                client.request("GET", f"/{n}")
                reply = client.getresponse()
                service.expect_equal((reply.status, reply.read()), (200, wanted[n]))

        def connect():
            return http.client.HTTPConnection("127.0.0.1", self.port, timeout=service.STOP_S)

        return [service.ThreadLoad(self, connect, operation)]

    def names(self):
        module = service.module_of(service.need("node"))
        return [rf"any: ^uv_run \({module}\)$", rf"any: ^node::.* \({module}\)$",
                rf"wait: ^uv_cond_wait \({module}\)$", "wait: " + service.libc("epoll_p?wait")]

    def runs(self):
        yield ["-p", str(self.process.pid)], [self.process.pid], self.names()


class NodeWithMap(Node):
    """the same with --perf-basic-prof: names of compiled JavaScript out of the perf map"""

    def options(self):
        return ["--perf-basic-prof"]

    def runs(self):
        # V8 inlines the two functions that answer() calls.
        names = self.names() + [r"cpu jit: \banswer\b.*worker\.js"]
        yield ["-p", str(self.process.pid)], [self.process.pid], names

    def __exit__(self, *details):
        super().__exit__(*details)
        if self.process is not None:
            path = f"/tmp/perf-{self.process.pid}.map"  # V8 writes it there, whatever TMPDIR says
            if os.path.exists(path):
                os.unlink(path)


if __name__ == "__main__":
    sys.exit(service.main(Node, NodeWithMap))
