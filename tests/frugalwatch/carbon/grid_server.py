"""A stand-in for both grid services on 127.0.0.1, in a process of its own.

The first part of the path picks the behaviour, the rest is the service's own path. Answers have
the shape of the services' documentation. `/log` gives the requests so far as JSON.

    python grid_server.py        prints its port, serves until stdin ends
"""

import json
import sys
import threading
import time
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

LOG = []


def hour(offset_h=0):
    now = datetime.now(UTC) + timedelta(hours=offset_h)
    return now.replace(minute=0, second=0, microsecond=0)


def electricity_maps(zone, **changed):
    answer = {
        "zone": zone,
        "carbonIntensity": 83,
        "datetime": hour().strftime("%Y-%m-%dT%H:%M:%S.000Z"),
        "updatedAt": hour().strftime("%Y-%m-%dT%H:%M:%S.892Z"),
        "createdAt": hour(-72).strftime("%Y-%m-%dT%H:%M:%S.319Z"),
        "emissionFactorType": "lifecycle",
        "isEstimated": True,
        "estimationMethod": "TIME_SLICER_AVERAGE",
    }
    answer.update(changed)
    return {key: value for key, value in answer.items() if value is not ...}


def uk(**changed):
    begin = datetime.now(UTC).replace(second=0, microsecond=0)
    begin = begin.replace(minute=begin.minute // 30 * 30)
    intensity = {"forecast": 266, "actual": 263, "index": "moderate", **changed}
    end = begin + timedelta(minutes=30)
    stamp = "%Y-%m-%dT%H:%MZ"
    entry = {"from": begin.strftime(stamp), "to": end.strftime(stamp), "intensity": intensity}
    return {"data": [entry]}


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        parts = urlsplit(self.path)
        scenario = parts.path.split("/")[1]
        zone = parse_qs(parts.query).get("zone", ["?"])[0]
        if scenario == "log":
            return self.answer(200, LOG)
        LOG.append({"path": self.path, "token": self.headers.get("auth-token")})
        bodies = {
            "em": electricity_maps(zone),
            "em-direct": electricity_maps(zone, emissionFactorType="direct", isEstimated=False),
            "em-other-zone": electricity_maps("DE"),
            "em-stale": electricity_maps(zone, datetime=hour(-30).isoformat()),
            "em-text": electricity_maps(zone, carbonIntensity="83"),
            "em-negative": electricity_maps(zone, carbonIntensity=-3),
            "em-null": electricity_maps(zone, carbonIntensity=None),
            "em-unknown-type": electricity_maps(zone, emissionFactorType="mystery"),
            "em-no-time": electricity_maps(zone, datetime=...),
            "uk": uk(),
            "uk-forecast": uk(actual=None),
            "uk-empty": {"data": []},
            "list": [1, 2],
        }
        statuses = {"401": 401, "403": 403, "404": 404, "429": 429, "500": 500}
        if scenario in bodies:
            return self.answer(200, bodies[scenario])
        if scenario in statuses:
            return self.answer(statuses[scenario], {"error": "no"}, {"Retry-After": "120"})
        return getattr(self, scenario)()

    def answer(self, status, body, headers=None):
        content = json.dumps(body).encode()
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def redirect(self):
        port = self.server.server_address[1]
        self.answer(302, {}, {"Location": f"http://127.0.0.1:{port}/em/stolen?zone=FR"})

    def html(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"<html>Sign in to the airport's network</html>")

    def binary(self):
        self.wfile.write(b"\x00\xff\x16\x03 this is not HTTP")

    def huge(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"[" * 200_000)

    def cut(self):
        self.send_response(200)
        self.send_header("Content-Length", "1000")
        self.end_headers()
        self.wfile.write(b'{"zone": "FR", "carbon')

    def silent(self):
        time.sleep(20)

    def drip(self):
        self.send_response(200)
        self.end_headers()
        for byte in json.dumps(electricity_maps("FR")).encode():
            self.wfile.write(bytes([byte]))
            time.sleep(0.2)

    def drip_headers(self):
        for byte in b"HTTP/1.1 200 OK\r\nX-Slow: " + b"y" * 200:
            self.wfile.write(bytes([byte]))
            time.sleep(0.2)

    def log_message(self, *_args):
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_args):
        pass  # a client that gave up is what is being tested


if __name__ == "__main__":
    server = Server(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(server.server_address[1], flush=True)
    sys.stdin.read()
