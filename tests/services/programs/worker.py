# SPDX-License-Identifier: MIT
"""A line server: "N" in, a number out that only the whole computation gives (see ../service.py)."""
import socketserver
import sys


def step(x):
    x = (x * 69069 + 1) & 0xFFFFFFFF
    return x ^ (x >> 13)


def crunch(n):
    x = n
    for _ in range(n):
        x = (x * 69069 + 1) & 0xFFFFFFFF
        x ^= x >> 13
    return x


def tally(n):
    counts = {}
    x = n
    for _ in range(n):
        x = step(x)
        key = x % 1000
        counts[key] = counts.get(key, 0) + 1
    return sum(key * count for key, count in counts.items()) & 0xFFFFFFFF


class Handler(socketserver.StreamRequestHandler):
    def handle(self):
        for line in self.rfile:
            n = int(line)
            self.wfile.write(b"%d\n" % (crunch(8 * n) ^ tally(n)))


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True


if __name__ == "__main__":
    Server(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
