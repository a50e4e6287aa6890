# SPDX-License-Identifier: MIT
import os
import subprocess
import sys

import service


class Rust(service.Service):
    """a Rust line server built here, its answers verified"""

    def prepare(self):
        build = [service.need("rustc"), "-O", "-g", "-o", "worker",
                 os.path.join(service.PROGRAMS, "worker.rs")]
        subprocess.run(build, cwd=self.directory, check=True, timeout=90)

    def command(self):
        return [os.path.join(self.directory, "worker"), str(self.port)]

    def loads(self):
        return [service.worker_load(self, (20000, 50000))]

    def runs(self):
        names = [rf"cpu: ^worker::{name}\b" for name in ("crunch", "tally", "step", "serve")]
        names += [r"wait: ^worker::main\b", "wait: " + service.libc("accept4?")]
        yield ["-p", str(self.process.pid)], [self.process.pid], names


if __name__ == "__main__":
    sys.exit(service.main(Rust))
