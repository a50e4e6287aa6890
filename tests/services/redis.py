# SPDX-License-Identifier: MIT
import socket
import subprocess
import sys

import service


class BatchLoad(service.ThreadLoad):
    """redis-benchmark again and again: it ends by itself, and each end tells of its errors."""

    def __init__(self, owner):
        argv = [service.need("redis-benchmark"), "-p", str(owner.port), "-c", "8", "-n", "20000",
                "-t", "set,get,lpush,zadd", "-r", "1000", "-q"]

        def operation(_):
            result = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                    stderr=subprocess.STDOUT, text=True, timeout=60, check=False)
            # A line is a summary, or progress that '\r' overwrites; all else is an error.
            lines = result.stdout.replace("\r", "\n").split("\n")
            wrong = [line for line in lines if line.strip() and "requests per second" not in line
                     and "rps=" not in line]
            if result.returncode != 0 or wrong:
                raise service.Failure(f"redis-benchmark: {result.returncode} {wrong}")

        super().__init__(owner, lambda: None, operation, clients=1)


class Redis(service.Service):
    """redis-server under redis-benchmark and a client that verifies what it wrote"""

    goal = 0.001

    def command(self):
        return [service.need("redis-server"), "--port", str(self.port), "--bind", "127.0.0.1",
                "--save", "", "--appendonly", "no", "--dir", self.directory]

    def loads(self):
        return [BatchLoad(self), service.ThreadLoad(self, self.connect, verify_once, clients=1)]

    def connect(self):
        client = socket.create_connection(("127.0.0.1", self.port), service.STOP_S)
        return client, client.makefile("rb"), [0]

    def runs(self):
        # The package's program keeps its global functions in .dynsym.
        module = service.module_of(service.need("redis-server"))
        names = [rf"cpu: ^{name} \({module}\)$" for name in
                 ("aeMain", "readQueryFromClient", "processCommand", "call")]
        names += [rf"any: ^main \({module}\)$", rf"wait: ^bioProcessBackgroundJobs \({module}\)$",
                  "any: " + service.libc("read|write")]
        yield ["-p", str(self.process.pid)], [self.process.pid], names


def verify_once(state):
    client, replies, count = state
    count[0] += 1
    value = b"%d" % (count[0] * 7919)
    client.sendall(b"SET verified %b\r\nGET verified\r\n" % value)
    service.expect_equal(replies.readline(), b"+OK\r\n")
    service.expect_equal(replies.readline(), b"$%d\r\n" % len(value))
    service.expect_equal(replies.readline(), value + b"\r\n")


if __name__ == "__main__":
    sys.exit(service.main(Redis))
