# SPDX-License-Identifier: MIT
import os
import subprocess
import sys

import service


class Go(service.Service):
    """a Go line server built here, its answers verified"""

    def prepare(self):
        environment = dict(os.environ, GOFLAGS="-mod=mod", GOPROXY="off", GO111MODULE="off",
                           GOCACHE=os.path.join(self.directory, "cache"),
                           GOPATH=os.path.join(self.directory, "path"))
        build = [service.need("go"), "build", "-o", "worker",
                 os.path.join(service.PROGRAMS, "worker.go")]
        subprocess.run(build, cwd=self.directory, env=environment, check=True, timeout=90)

    def command(self):
        return [os.path.join(self.directory, "worker"), str(self.port)]

    def loads(self):
        return [service.worker_load(self, (20000, 50000))]

    def runs(self):
        names = [r"cpu: ^main\.crunch \(worker\)$", r"cpu: ^main\.tally \(worker\)$",
                 r"cpu: ^main\.step \(worker\)$",
                 r"any: ^runtime\.(mapassign|mapaccess)\w* \(worker\)$",
                 r"wait: ^runtime\.\w+(\.abi0)? \(worker\)$"]
        yield ["-p", str(self.process.pid)], [self.process.pid], names


if __name__ == "__main__":
    sys.exit(service.main(Go))
