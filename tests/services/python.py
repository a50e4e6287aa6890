# SPDX-License-Identifier: MIT
import os
import sys

import service


class Python(service.Service):
    """the distribution's CPython, a threaded line server, its answers verified"""

    goal = 0.001

    def command(self):
        return [service.need("python3", "/usr/bin/python3"),
                os.path.join(service.PROGRAMS, "worker.py"), str(self.port)]

    def loads(self):
        return [service.worker_load(self, (1000, 5000))]

    def runs(self):
        # With Python frames in the report, the script's functions stand for the C evaluator.
        module = service.module_of(service.need("python3", "/usr/bin/python3"))
        names = [rf"cpu: ^_PyEval_EvalFrameDefault \({module}\)$|^(crunch|tally) \(.*worker\.py",
                 rf"any: ^(Py_RunMain|Py_BytesMain) \({module}\)$",
                 "wait: " + service.libc("poll")]
        yield ["-p", str(self.process.pid)], [self.process.pid], names


if __name__ == "__main__":
    sys.exit(service.main(Python))
