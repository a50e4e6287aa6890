# SPDX-License-Identifier: MIT
"""GET /N over http.server: a JSON document that only the whole computation gives (see ../service.py).

With "flask" as second argument Flask answers, through Werkzeug's threaded server.
"""
import http.server
import json
import sys

from worker import crunch, tally


def document(n):
    return {"n": n, "crunch": crunch(8 * n), "tally": tally(n)}


def render(n):
    return json.dumps(document(n)).encode()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self):
        body = render(int(self.path[1:]))
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


def serve_flask(port):
    import flask
    import logging
    app = flask.Flask("web")

    @app.route("/<int:n>")
    def page(n):
        return app.response_class(render(n), mimetype="application/json")

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    app.run("127.0.0.1", port, threaded=True)


if __name__ == "__main__":
    if sys.argv[2:] == ["flask"]:
        serve_flask(int(sys.argv[1]))
    else:
        http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
