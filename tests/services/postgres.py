# SPDX-License-Identifier: MIT
import os
import pwd
import re
import signal
import subprocess
import sys
import time

import service

BINARIES = "/usr/lib/postgresql/*/bin/"


class Postgres(service.Service):
    """PostgreSQL under pgbench: the postmaster with its children, then one backend"""

    goal = 0.001

    stop_signal = signal.SIGINT  # "fast shutdown": it does not wait for its clients

    def user(self):
        if os.geteuid() != 0:
            return None
        names = {entry.pw_name for entry in pwd.getpwall()}
        return "postgres" if "postgres" in names else "nobody"

    def prepare(self):
        initdb = service.need("initdb", BINARIES + "initdb")
        if self.user() is not None:
            entry = pwd.getpwnam(self.user())
            os.chown(self.directory, entry.pw_uid, entry.pw_gid)
        self.to_end([initdb, "-D", "data", "-U", "tester", "-A", "trust", "-N", "--locale=C"])

    def to_end(self, argv):
        output = os.path.join(self.directory, "setup.log")
        process = self.spawn(argv, output, self.user())
        if process.wait(60) != 0:
            raise service.Failure(f"{argv[0]}: {service.read_file(output)}")

    def command(self):
        settings = [f"port={self.port}", "listen_addresses=127.0.0.1", "fsync=off",
                    "unix_socket_directories=", "autovacuum=off", "max_connections=20", "shared_buffers=16MB"]
        return [service.need("postgres", BINARIES + "postgres"), "-D", "data",
                *(f"--{setting}" for setting in settings)]

    def pgbench(self, *options):
        return [service.need("pgbench", BINARIES + "pgbench"), "-h", "127.0.0.1", "-p",
                str(self.port), "-U", "tester", *options, "postgres"]

    def connected(self):
        # A connect succeeds before the server lets anybody in.
        probe = [service.need("pg_isready", BINARIES + "pg_isready"), "-q", "-h", "127.0.0.1", "-p",
                 str(self.port)]
        if subprocess.run(probe, check=False).returncode != 0:
            raise ConnectionRefusedError
        return True

    def start(self):
        super().start()
        self.to_end(self.pgbench("-i", "-q"))

    def loads(self):
        argv = self.pgbench("-n", "-N", "-c", "4", "-T", str(self.load_s), "-P", "1")
        return [service.CommandLoad(self, argv, pgbench_verdict)]

    def backend(self):
        """A backend that serves pgbench: the server names it in its command line."""
        deadline = time.monotonic() + service.READY_S
        while time.monotonic() < deadline:
            # pgbench looks at its tables by a connection of its own before it opens those it works with
            backends = [pid for pid in service.children(self.process.pid) if
                        "tester postgres 127.0.0.1" in
                        (service.read_file(f"/proc/{pid}/cmdline") or "")]
            if len(backends) == 4:
                return backends[0]
        raise service.Failure("no backend")

    def runs(self):
        module = service.module_of(service.need("postgres", BINARIES + "postgres"))
        working = [rf"any: ^{name} \({module}\)$" for name in
                   ("main", "PostmasterMain", "PostgresMain", "PortalRun", "standard_ExecutorRun",
                    "WaitEventSetWait")]
        server = [rf"wait: ^{name} \({module}\)$" for name in
                  ("WalWriterMain", "BackgroundWriterMain", "CheckpointerMain")]
        backend = self.backend()
        pids = [self.process.pid, backend]
        yield ["-p", str(self.process.pid), "--children"], pids, working + server
        # One backend on a busy machine is mostly ready to run, in epoll_wait: few samples are left
        # for its work, and any of these shows it.
        work = "(PortalRun|standard_ExecutorRun|CommitTransactionCommand|pg_plan_queries)"
        yield ["-p", str(backend)], pids, [rf"any: ^{name} \({module}\)$" for name in
                                           ("main", "PostgresMain", "WaitEventSetWait", work)]


def pgbench_verdict(output):
    progress = re.findall(r"^progress: .* ([\d.]+) tps,.* (\d+) failed", output, re.M)
    errors = re.findall(r".*(?:error|abort|FATAL).*", output)
    if not progress or errors or any(failed != "0" for _, failed in progress):
        raise service.Failure(f"pgbench: {output}")
    # The last second may have been cut short by our signal; all before it must show work.
    if any(float(rate) == 0 for rate, _ in progress[:-1]):
        raise service.Failure(f"pgbench stood still: {output}")
    return round(sum(float(rate) for rate, _ in progress))


if __name__ == "__main__":
    sys.exit(service.main(Postgres))
