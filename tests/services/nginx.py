# SPDX-License-Identifier: MIT
import os
import sys

import service

# error_log at info: a worker whose epoll_wait() returned EINTR says so there.
CONFIGURATION = """
{user}
daemon off;
worker_processes 2;
pid {directory}/nginx.pid;
error_log {directory}/error.log info;
events {{ worker_connections 256; }}
http {{
    access_log {directory}/access.log;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    types {{ text/html html; }}
    gzip on;
    server {{
        listen 127.0.0.1:{port};
        root {directory};
        location = /index.html {{ }}
    }}
}}
"""


class Nginx(service.Service):
    """nginx, two workers, under wrk"""

    goal = 0.001

    def command(self):
        path = os.path.join(self.directory, "nginx.conf")
        user = "user root;" if os.geteuid() == 0 else ""
        with open(path, "w", encoding="ascii") as file:
            file.write(CONFIGURATION.format(user=user, directory=self.directory, port=self.port))
        with open(os.path.join(self.directory, "index.html"), "w", encoding="ascii") as file:
            file.writelines(f"<p>{n * 7919 % 1000}</p>\n" for n in range(1000))
        return [service.need("nginx", "/usr/sbin/nginx"), "-p", self.directory, "-c", path, "-e",
                os.path.join(self.directory, "error.log")]

    def loads(self):
        argv = [service.need("wrk"), "-t", "1", "-c", "16", "-d", f"{self.load_s}s",
                "-H", "Accept-Encoding: gzip", f"http://127.0.0.1:{self.port}/index.html"]
        return [service.CommandLoad(self, argv, service.wrk_verdict)]

    def runs(self):
        workers = service.children(self.process.pid)
        service.expect_equal(len(workers), 2)
        module = service.module_of(service.need("nginx", "/usr/sbin/nginx"))
        serving = [rf"cpu: ^{name} \({module}\)$" for name in
                   ("ngx_process_events_and_timers", "ngx_http_core_run_phases",
                    "ngx_http_core_content_phase", "ngx_output_chain", "main")]
        serving += [r"cpu: ^deflate \(libz\."]
        pids = [self.process.pid, *workers]
        yield ["-p", ",".join(map(str, workers))], pids, serving
        master = ["wait: " + service.libc("sigsuspend")]
        yield ["-p", str(self.process.pid), "--children"], pids, serving + master

    def check_after(self):
        log = service.read_file(os.path.join(self.directory, "error.log"))
        if "Interrupted system call" in log:
            count = log.count("Interrupted system call")
            raise service.Failure(f"{count} calls of the workers were interrupted")


if __name__ == "__main__":
    sys.exit(service.main(Nginx))
