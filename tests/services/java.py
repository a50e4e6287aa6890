# SPDX-License-Identifier: MIT
import os
import subprocess
import sys

import service


class Java(service.Service):
    """a Java line server, compiled code with frame pointers, names by its perf map"""

    goal = 0.01

    def prepare(self):
        source = os.path.join(service.PROGRAMS, "Worker.java")
        subprocess.run([service.need("javac"), "-d", self.directory, source], check=True,
                       timeout=60)

    def command(self):
        return [service.need("java"), "-XX:+PreserveFramePointer", "-Xmx128m", "-XX:+UseSerialGC",
                "-cp", self.directory, "Worker", str(self.port)]

    def loads(self):
        return [service.worker_load(self, (20000, 50000))]

    def runs(self):
        yield from self.after_warming()

    def after_warming(self):
        service.sample(self.oxprof, ["-p", str(self.process.pid)], 100)
        subprocess.run([service.need("jcmd"), str(self.process.pid), "Compiler.perfmap"],
                       stdout=subprocess.DEVNULL, check=True, timeout=30)
        names = [r"cpu jit: Worker\.(crunch|tally|serve)", r"wait: ^__?start_thread|clone"]
        yield ["-p", str(self.process.pid)], [self.process.pid], names[:1]

    def __exit__(self, *details):
        super().__exit__(*details)
        if self.process is not None:
            path = f"/tmp/perf-{self.process.pid}.map"
            if os.path.exists(path):
                os.unlink(path)


if __name__ == "__main__":
    sys.exit(service.main(Java))
