#!/usr/bin/env python3
"""Times `anagama serve`: start, idle memory, round trips, chains, a long queue, many listeners. Prints a table.

    python3 tests/peers/bench_server.py [--program target/release/anagama] [--url http://127.0.0.1:8188]

With --url a server that runs already is timed, ComfyUI's own too, as far as it can be (no start, no memory).
Needs nothing but Python.
"""

import argparse
import base64
import http.client
import json
import os
import pathlib
import random
import socket
import statistics
import struct
import subprocess
import tempfile
import time
import urllib.parse

ROOT = pathlib.Path(__file__).resolve().parents[2]


class Socket:
    """A WebSocket client that reads."""

    def __init__(self, host, port, client):
        self.socket = socket.create_connection((host, port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        key = base64.b64encode(os.urandom(16)).decode()
        self.socket.sendall(
            f"GET /ws?clientId={client} HTTP/1.1\r\nHost: {host}:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        self.file = self.socket.makefile("rb")
        while self.file.readline().strip():
            pass

    def next(self):
        while True:
            first, second = self.file.read(2)
            length = second & 127
            if length == 126:
                (length,) = struct.unpack(">H", self.file.read(2))
            elif length == 127:
                (length,) = struct.unpack(">Q", self.file.read(8))
            body = self.file.read(length)
            if first & 15 == 1:
                return json.loads(body)

    def until_end(self, prompt_id):
        while True:
            message = self.next()
            data = message["data"]
            if message["type"] == "executing" and data["node"] is None and data.get("prompt_id") == prompt_id:
                return

    def close(self):
        self.socket.close()


class Client:
    def __init__(self, url):
        parts = urllib.parse.urlparse(url)
        self.host, self.port = parts.hostname, parts.port
        self.connection = http.client.HTTPConnection(self.host, self.port)
        self.connection.connect()
        self.connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def ask(self, method, path, body=None):
        data = None if body is None else json.dumps(body)
        self.connection.request(method, path, data, {"Content-Type": "application/json"} if data else {})
        answer = self.connection.getresponse()
        text = answer.read()
        if answer.status != 200:
            raise SystemExit(f"{path}: {answer.status} {text[:300]}")
        return text

    def prompt(self, graph, client=None):
        body = {"prompt": graph}
        if client:
            body["client_id"] = client
        return json.loads(self.ask("POST", "/prompt", body))["prompt_id"]


def picture(color):
    return {"class_type": "EmptyImage", "inputs": {"width": 64, "height": 64, "batch_size": 1, "color": color}}


def chain(length, color):
    graph = {"0": picture(color)}
    for n in range(1, length + 1):
        graph[str(n)] = {"class_type": "ImageInvert", "inputs": {"image": [str(n - 1), 0]}}
    graph["end"] = {"class_type": "PreviewImage", "inputs": {"images": [str(length), 0]}}
    return graph


def milliseconds(times):
    times = sorted(t * 1e3 for t in times)
    return f"min {times[0]:.2f}, median {statistics.median(times):.2f}, p95 {times[int(len(times) * 0.95)]:.2f} ms"


def resident(pid):
    for line in open(f"/proc/{pid}/status"):
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return 0


def start(program, base):
    """Seconds until the first answer, the process, and its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [program, "serve", "--port", str(port), "--base-directory", base, "--store", f"{base}/store", "--no-front-end"]
    began = time.perf_counter()
    log = open(f"{base}/log", "a")
    process = subprocess.Popen(command, stdout=log, stderr=log, env={**os.environ, "HOME": base}, cwd=base)
    while True:
        try:
            Client(f"http://127.0.0.1:{port}").ask("GET", "/system_stats")
            return time.perf_counter() - began, process, f"http://127.0.0.1:{port}"
        except OSError:
            if process.poll() is not None:
                raise SystemExit(open(f"{base}/log").read())
            time.sleep(0.002)


def trips(client, ws, graph, count):
    times = []
    for n in range(count):
        began = time.perf_counter()
        ws.until_end(client.prompt(graph(n), "bench"))
        times.append(time.perf_counter() - began)
    return times


def main():
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--program", default=str(ROOT / "target/release/anagama"))
    arguments.add_argument("--url")
    arguments.add_argument("--lengths", default="25,100,400,1500")
    options = arguments.parse_args()
    rows, process = [], None
    folder = tempfile.TemporaryDirectory()
    if options.url:
        url = options.url
    else:
        starts = []
        for _ in range(5):
            seconds, process, url = start(options.program, folder.name)
            starts.append(seconds)
            if len(starts) < 5:
                process.kill()
                process.wait()
        rows.append(("start to first answer (5 starts)", milliseconds(starts)))
        time.sleep(3)
        rows.append(("memory, idle after 3 s", f"{resident(process.pid):.1f} MiB"))
    client = Client(url)
    ws = Socket(client.host, client.port, "bench")
    base = random.randrange(1 << 20)
    trips(client, ws, lambda n: chain(1, base + 1000 + n), 5)
    rows.append(("trivial graph, not cached (60 runs)", milliseconds(trips(client, ws, lambda n: chain(1, base + n), 60))))
    rows.append(("trivial graph, cached (150 runs)", milliseconds(trips(client, ws, lambda n: chain(1, base), 150)[1:])))
    for length in map(int, options.lengths.split(",")):
        first = trips(client, ws, lambda n: chain(length, base + length), 1)
        again = trips(client, ws, lambda n: chain(length, base + length), 7)
        rows.append((f"chain of {length}", f"not cached {first[0] * 1e3:.1f} ms; cached {milliseconds(again)}"))
    times = []
    for _ in range(20):
        began = time.perf_counter()
        text = client.ask("GET", "/object_info")
        times.append(time.perf_counter() - began)
    rows.append((f"/object_info, {len(json.loads(text))} nodes, {len(text) // 1024} KiB", milliseconds(times)))
    began, posts, last = time.perf_counter(), [], None
    for n in range(1000):
        before = time.perf_counter()
        last = client.prompt(chain(1, (base + 5000 + n) % (1 << 24)), "bench")
        posts.append(time.perf_counter() - before)
    sent = time.perf_counter() - began
    ws.until_end(last)
    rows.append(("1,000 jobs", f"accepted in {sent:.2f} s ({milliseconds(posts)} each), all done after {time.perf_counter() - began:.2f} s"))
    sockets = [Socket(client.host, client.port, f"listener{n}") for n in range(200)]
    rows.append(("trivial graph with 200 listeners (60 runs)", milliseconds(trips(client, ws, lambda n: chain(1, base + 9000 + n), 60))))
    if process:
        rows.append(("memory with 200 listeners, after all that", f"{resident(process.pid):.1f} MiB"))
    for other in sockets:
        other.close()
    if process:
        process.terminate()
        began = time.perf_counter()
        process.wait(20)
        rows.append(("shutdown", f"{(time.perf_counter() - began) * 1e3:.0f} ms, code {process.returncode}"))
    print("| what | value |\n|---|---|")
    for name, value in rows:
        print(f"| {name} | {value} |")


if __name__ == "__main__":
    main()
