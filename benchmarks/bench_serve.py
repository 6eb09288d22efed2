"""How many single digits a second `inkdigits serve` reads on loopback, and how long each waits.

Starts a server of its own on a free port, sends digits as PNG files over kept connections for `--seconds` a load,
at a fixed pace and as fast as answers come, in MNIST's form and such as have to be framed first, and stops it.
The generator shares the machine's cores with the server and is kept thin: raw HTTP over asyncio's transports.
CPU time a request tells what a quiet machine would do where others keep this one busy.

    python benchmarks/bench_serve.py [--seconds 10] [--connections 32] [--rate 1500] [--json FILE]
"""

import argparse
import asyncio
import os
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np
from common import Table, publish

from inkdigits.reading.normalise.digit import frame_digit

MAX_SECONDS = 60


@dataclass(frozen=True)
class Load:
    """One load and what came of it."""

    name: str
    connections: int
    requests: int
    seconds: float
    per_second: float
    p50_ms: float
    p99_ms: float
    max_ms: float
    errors: int
    server_us: float
    generator_us: float


class Client(asyncio.Protocol):
    """One kept connection: one request after the other, each timed."""

    def __init__(self, requests: list[bytes]) -> None:
        self.requests = requests
        self.answered: asyncio.Future[bool] | None = None
        self.buffer = b""
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        head, gap, body = self.buffer.partition(b"\r\n\r\n")
        if not gap:
            return
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        if len(body) >= length and self.answered is not None:
            self.buffer = b""
            self.answered.set_result(head.startswith(b"HTTP/1.1 200"))

    def connection_lost(self, error: Exception | None) -> None:
        if self.answered is not None and not self.answered.done():
            self.answered.set_result(False)

    async def ask(self, number: int) -> bool:
        self.answered = asyncio.get_running_loop().create_future()
        assert self.transport is not None
        self.transport.write(self.requests[number % len(self.requests)])
        return await self.answered


def pictures(n: int) -> list[np.ndarray]:
    """Digits in OpenCV's font: uint8 (28, 28), white on black, off the middle, so that they have to be framed."""
    rng = np.random.default_rng(0)
    images = []
    for i in range(n):
        image = np.zeros((28, 28), np.uint8)
        place = (7 + int(rng.integers(-2, 3)), 22 + int(rng.integers(-2, 3)))
        cv2.putText(image, str(i % 10), place, cv2.FONT_HERSHEY_SIMPLEX, 0.8, 255, 2, cv2.LINE_AA)
        images.append(image)
    return images


def as_request(path: str, image: np.ndarray) -> bytes:
    body = cv2.imencode(".png", image)[1].tobytes()
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: image/png\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def cpu_s(pid: int) -> float:
    """Processor seconds that a process has used; NaN where there is no /proc."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return float("nan")
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def send(
    name: str, pid: int, port: int, requests: list[bytes], connections: int, seconds: float, rate: float
) -> Load:
    """Send requests for some seconds; `rate` a second in all, or as fast as answers come where it is 0."""
    loop = asyncio.get_running_loop()
    clients = [
        (await loop.create_connection(lambda: Client(requests), "127.0.0.1", port))[1] for _ in range(connections)
    ]
    waits: list[float] = []
    errors = 0
    server_s, generator_s = cpu_s(pid), time.process_time()
    begun = time.perf_counter()
    end = begun + seconds

    async def run(client: Client, place: int) -> None:
        nonlocal errors
        due = begun + (place / rate if rate else 0)
        number = place
        while (now := time.perf_counter()) < end:
            if rate:
                if due > now:
                    await asyncio.sleep(due - now)
                # Late requests count their delay: a server that stalls must not look faster by it.
                started, due = due, due + connections / rate
            else:
                started = now
            errors += not await client.ask(number)
            waits.append(time.perf_counter() - started)
            number += connections

    await asyncio.gather(*(run(client, place) for place, client in enumerate(clients)))
    took = time.perf_counter() - begun
    for client in clients:
        assert client.transport is not None
        client.transport.close()
    n = max(1, len(waits))
    used = [1e6 * (cpu_s(pid) - server_s) / n, 1e6 * (time.process_time() - generator_s) / n]
    waits_ms = 1000 * np.array(waits)
    p50, p99 = np.percentile(waits_ms, [50, 99])
    rounded = [round(float(v), 2) for v in (took, len(waits) / took, p50, p99, waits_ms.max())]
    return Load(name, connections, len(waits), *rounded, errors, *(round(us) for us in used))


async def measure(pid: int, port: int, connections: int, seconds: float, rate: float) -> list[Load]:
    drawn = [as_request("/v1/read?layout=digit", image) for image in pictures(200)]
    framed = [as_request("/v1/read?layout=digit", frame_digit(image)) for image in pictures(200)]
    await send("warm-up", pid, port, framed, 4, 1, 0)
    return [
        await send("one after the other", pid, port, framed, 1, min(3, seconds), 0),
        await send(f"{rate:g} a second", pid, port, framed, connections, seconds, rate),
        await send("as fast as answers come", pid, port, framed, connections, seconds, 0),
        await send("the same, not framed", pid, port, drawn, connections, seconds, 0),
    ]


def start(home: str) -> tuple[subprocess.Popen[str], int]:
    command = [sys.executable, "-m", "inkdigits", "serve", "--port", "0"]
    environment = os.environ | {"INKDIGITS_HOME": home}
    server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment)
    assert server.stdout is not None
    return server, int(server.stdout.readline().strip().rstrip("/").rpartition(":")[2])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--rate", type=float, default=1500)
    parser.add_argument("--json", type=Path, default=None, help="keep the figures here")
    options = parser.parse_args()
    seconds = min(options.seconds, MAX_SECONDS)
    with tempfile.TemporaryDirectory() as home:
        server, port = start(home)
        try:
            loads = asyncio.run(measure(server.pid, port, min(options.connections, 512), seconds, options.rate))
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait(timeout=60)
    publish(
        "serve",
        "The web server",
        [
            Table(
                "Cores shared by server and load generator; digits as PNG files", HEADER, [row(load) for load in loads]
            )
        ],
        notes=['"Not framed": drawn off the middle, so that the server frames each; the others are in MNIST\'s form.'],
        figures=[asdict(load) for load in loads],
        path=options.json,
    )


HEADER = ("load", "connections", "requests", "a second", "p50 ms", "p99 ms", "max ms", "errors", "server CPU us")


def row(load: Load) -> tuple[str, ...]:
    return (
        load.name,
        str(load.connections),
        f"{load.requests:,}",
        f"{load.per_second:,.0f}",
        *(f"{ms:.1f}" for ms in (load.p50_ms, load.p99_ms, load.max_ms)),
        str(load.errors),
        str(load.server_us),
    )


if __name__ == "__main__":
    main()
