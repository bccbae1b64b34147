"""Tell load balancers whether the components of Airflow on this host work.

Runs under every Python that an Airflow runs on, with Airflow's environment, as

    airflow_health.py ADDRESS PORT CHECK...

where a check is a JSON list of a component's name and a question of airflow_probe.py, and answers
any GET or HEAD with 200 when all of them hold and with 503 when one does not, with a word for each:

    {"api-server": "ok", "scheduler": "fails"}
"""

from __future__ import print_function

import json
import socket
import sys
import threading
import time

import airflow_probe

try:
    from http.server import BaseHTTPRequestHandler
    from socketserver import TCPServer, ThreadingMixIn
except ImportError:  # Python 2
    from BaseHTTPServer import BaseHTTPRequestHandler
    from SocketServer import TCPServer, ThreadingMixIn

GOOD_FOR = 5
"""Seconds for which an answer serves, whoever asks."""


class Summary(object):
    """What the checks have said last."""

    def __init__(self, checks):
        self.checks = checks
        self.lock = threading.Lock()
        self.words = {}
        self.until = 0.0

    def look(self):
        with self.lock:
            if time.time() >= self.until:
                self.words = {name: self.word(question) for name, question in self.checks}
                self.until = time.time() + GOOD_FOR
            return self.words

    def word(self, question):
        return "ok" if airflow_probe.answer(question[0], question[1:])[0] == "yes" else "fails"


class Handler(BaseHTTPRequestHandler):
    summary = Summary([])
    timeout = 10
    server_version = "airflow-health"
    sys_version = ""

    def do_GET(self):
        words = self.summary.look()
        body = json.dumps(words, sort_keys=True).encode("ascii") + b"\n"
        self.send_response(200 if set(words.values()) == {"ok"} else 503)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    do_HEAD = do_GET

    def log_message(self, *arguments):
        """Say nothing: a load balancer asks every few seconds."""


class Server(ThreadingMixIn, TCPServer):
    allow_reuse_address = True
    daemon_threads = True


def main(address, port, *checks):
    Server.address_family = socket.AF_INET6 if ":" in address else socket.AF_INET
    server = Server((address, int(port)), Handler)
    parsed = [json.loads(check) for check in checks]
    Handler.summary = Summary([(check[0], check[1:]) for check in parsed])
    server.serve_forever()


if __name__ == "__main__":
    main(*sys.argv[1:])
