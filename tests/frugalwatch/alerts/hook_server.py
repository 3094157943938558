"""A web address for notices on 127.0.0.1, in a process of its own. The path picks the behaviour.

python hook_server.py        prints its port, serves until stdin ends
"""

import json
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

LOG = []


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.answer(200, LOG)

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        tried = sum(1 for each in LOG if each["path"] == self.path)
        LOG.append({"path": self.path, "body": json.loads(body)})
        if self.path == "/second-time":
            self.answer(200 if tried else 503, {})
        elif self.path == "/hang":
            time.sleep(60)
        elif self.path == "/redirect":
            self.answer(302, {}, {"Location": "/ok"})
        else:
            self.answer({"/ok": 204, "/gone": 404, "/busy": 429}.get(self.path, 500), {})

    def answer(self, status, body, headers=None):
        data = json.dumps(body).encode()
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_):
        pass


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(server.server_address[1], flush=True)
    sys.stdin.read()
