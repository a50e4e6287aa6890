#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Starts one of the services under its load and prints the PIDs, to look at it by hand."""
import argparse
import importlib
import signal
import sys
import threading

sys.dont_write_bytecode = True
service = importlib.import_module("service")

SERVICES = {
    "redis": ("redis", "Redis"),
    "nginx": ("nginx", "Nginx"),
    "postgres": ("postgres", "Postgres"),
    "python": ("python", "Python"),
    "node": ("node", "Node"),
    "node-map": ("node", "NodeWithMap"),
    "go": ("go", "Go"),
    "rust": ("rust", "Rust"),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("service", choices=SERVICES)
    parser.add_argument("--seconds", type=float, default=30, help="at most %(default)s by default")
    arguments = parser.parse_args()
    ending = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ending.set())
    module, name = SERVICES[arguments.service]
    try:
        with getattr(importlib.import_module(module), name)(int(arguments.seconds) + 10) as running:
            running.load()
            pid = running.process.pid
            print(f"{arguments.service}: pid {pid}, port {running.port}, "
                  f"children {service.children(pid)}", flush=True)
            if not ending.wait(arguments.seconds):
                print(f"load: {running.finish_loads()} operations, 0 errors")
    except (service.Skip, service.Failure) as error:
        print(f"try.py: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
