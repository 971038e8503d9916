"""python benchmarks/serving.py --student student.onnx [--requests 20000] [--json FILE]

Load on `pointstill serve` on this machine: clients that each send one request after the other,
one in a hundred of them hostile. Says requests a second, how long they took, memory, and that none
was lost: every sound request has its answer, every hostile one its refusal."""

import argparse
import asyncio
import io
import json
import os
import re
import statistics
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np

from conditions import conditions
from pointstill.data.primitives import Primitives

HOSTILE = 100
"""Every so-manieth request is hostile."""
SLOW = 2.0
"""Seconds that the slow sender takes over half of its request, before it goes away."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--student", type=Path, required=True, help="an exported student")
    parser.add_argument("--requests", type=int, default=20_000)
    parser.add_argument("--clients", type=int, default=8, help="requests at once")
    parser.add_argument("--seconds", type=int, default=900, help="after which it stops")
    parser.add_argument("--json", type=Path, help="where to write the figures")
    options = parser.parse_args()
    command = [sys.executable, "-m", "pointstill", "serve", str(options.student), "--port", "0"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout
        port = int(re.search(r":(\d+)/", server.stdout.readline())[1])
        found = conditions(1) | asyncio.run(load(server.pid, port, options))
        found["alive"] = server.poll() is None
        found["load"] = round(os.getloadavg()[1], 1)
    finally:
        server.terminate()
        server.wait(30)
    print(text(found))
    if options.json:
        options.json.write_text(json.dumps(found, indent=1) + "\n")
    sys.exit(0 if found["alive"] and not found["wrong"] else 1)


async def load(pid: int, port: int, options: argparse.Namespace) -> dict:
    sound, hostile = sound_requests(), hostile_requests()
    memory = [resident(pid)]
    numbers = iter(range(options.requests))
    times: list[float] = []
    outcomes: Counter[str] = Counter()
    wrong: list[str] = []
    started = time.perf_counter()

    async def client() -> None:
        for number in numbers:
            if time.perf_counter() - started > options.seconds:
                return
            if number % HOSTILE == HOSTILE - 1:
                name, content, allowed = hostile[number // HOSTILE % len(hostile)]
            else:
                (content, allowed), name = sound[number % len(sound)], "sound"
            begun = time.perf_counter()
            status = await ask(port, content, slow=name == "slow sender")
            if name == "sound":
                times.append(time.perf_counter() - begun)
            outcomes[f"{name}: {status}"] += 1
            if status not in allowed:
                wrong.append(f"{name}: {status}")
            if number % 1000 == 999:
                memory.append(resident(pid))

    await asyncio.gather(*(client() for _ in range(options.clients)))
    seconds = time.perf_counter() - started
    crowd = await asyncio.gather(*(ask(port, sound[0][0]) for _ in range(1000)))
    memory.append(resident(pid))
    times.sort()
    return {
        "requests": sum(outcomes.values()),
        "clients": options.clients,
        "seconds": round(seconds, 1),
        "requests_a_second": round(sum(outcomes.values()) / seconds, 1),
        "p50_ms": round(1000 * statistics.median(times), 1),
        "p99_ms": round(1000 * times[int(0.99 * len(times))], 1),
        "most_ms": round(1000 * times[-1], 1),
        "memory_mib": {
            "at_first": memory[0],
            "after_1000": memory[1],
            "at_last": memory[-2],
            "most": max(memory),
        },
        "outcomes": dict(sorted(outcomes.items())),
        "thousand_at_once": {str(status): count for status, count in Counter(crowd).items()},
        "wrong": wrong,
    }


async def ask(port: int, content: bytes, slow: bool = False) -> int | str:
    """The status that a request gets."""
    try:
        reader, writer = await asyncio.wait_for(asyncio.open_connection("127.0.0.1", port), 60)
        try:
            if slow:
                writer.write(content[: len(content) // 2])
                await asyncio.sleep(SLOW)
                return "went away"
            writer.write(content)
            answer = await asyncio.wait_for(reader.read(), 60)
            return int(answer.split()[1]) if answer else "closed"
        finally:
            writer.close()
    except (OSError, TimeoutError) as error:
        return type(error).__name__


def request(name: str, content: bytes) -> bytes:
    """A form with a file."""
    body = (
        f'--x\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n\r\n'.encode()
        + content
        + b"\r\n--x--\r\n"
    )
    return head("multipart/form-data; boundary=x", len(body)) + body


def head(kind: str, size: int, path: str = "/classify", method: str = "POST") -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", "Connection: close"]
    lines += [f"Content-Type: {kind}", f"Content-Length: {size}", "", ""]
    return "\r\n".join(lines).encode()


def npy(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def sound_requests() -> list[tuple[bytes, tuple]]:
    """Clouds of every class, as files and as JSON."""
    made, found = Primitives(), []
    for name in made.classes:
        cloud = made.cloud("test", name, 0)
        text = "\n".join(" ".join(map(str, point)) for point in cloud.tolist())
        body = json.dumps({"points": cloud.tolist()}).encode()
        found += [request("a.npy", npy(cloud)), request("a.xyz", text.encode())]
        found.append(head("application/json", len(body)) + body)
    return [(each, (200,)) for each in found]


def hostile_requests() -> list[tuple[str, bytes, tuple]]:
    """What each is, and what it may get."""
    large, deep = bytes(20 << 20), b"[" * 200_000
    announced = b"ply\nformat binary_little_endian 1.0\nelement vertex 4000000000\n"
    announced += b"property float x\nproperty float y\nproperty float z\nend_header\n"
    return [
        ("too large", request("a.ply", large), (413,)),
        ("announces a terabyte", head("application/json", 1 << 40), (413,)),
        ("wrong type", request("a.exe", b"MZ"), (415,)),
        ("a path as name", request("../../../etc/passwd", b"root"), (415,)),
        ("a path as address", head("text/plain", 0, "/../../etc/passwd", "GET"), (404,)),
        ("damaged", request("a.glb", bytes(1000)), (422,)),
        ("announces 4e9 points", request("a.ply", announced), (422,)),
        ("nested 200,000 deep", head("application/json", len(deep)) + deep, (422,)),
        ("pickled", request("a.npy", npy(np.array([{}], object))), (422,)),
        ("no HTTP", b"\x16\x03\x01nonsense\r\n\r\n", (400,)),
        ("another site", request("a.npy", b"").replace(b"127.0.0.1", b"evil.test", 1), (403,)),
        ("slow sender", request("a.npy", npy(np.zeros((99, 3)))), ("went away",)),
    ]


def resident(pid: int) -> float:
    """MiB that a process and those that it started have in memory."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    total = 0
    for each in [pid, *children]:
        status = Path(f"/proc/{each}/status")
        if status.exists() and (kib := re.search(r"VmRSS:\s+(\d+)", status.read_text())):
            total += int(kib[1])
    return round(total / 1024, 1)


def text(found: dict) -> str:
    """The figures as a page shows them."""
    memory, outcomes = found["memory_mib"], found["outcomes"]
    hostile = {name: count for name, count in outcomes.items() if not name.startswith("sound")}
    answered = outcomes["sound: 200"]
    sent = found["requests"] - sum(hostile.values())
    crowd = found["thousand_at_once"]
    gets = [f"{count} times {status}" for status, count in sorted(crowd.items())]
    loaded = (
        f", while other work shared the cores (load {found['load']})" if "load" in found else ""
    )
    lines = [
        "| requests | at once | a second | p50 | p99 | slowest | memory after 1,000 | at last |",
        "|---|---|---|---|---|---|---|---|",
        f"| {found['requests']:,} | {found['clients']} | {found['requests_a_second']:.0f} "
        f"| {found['p50_ms']:.0f} ms | {found['p99_ms']:.0f} ms | {found['most_ms'] / 1000:.1f} s "
        f"| {memory['after_1000']:.0f} MiB | {memory['at_last']:.0f} MiB |",
        "",
        f"Measured {found['date']} on {found['processor']}{loaded}, in {found['seconds']:.0f} s: "
        "the times are upper bounds. Memory is that of the server and its readers. "
        f"{answered:,} of {sent:,} sound requests were answered, {len(found['wrong'])} of all got "
        f"what they should not get, and the server {'lived on' if found['alive'] else 'died'}.",
        "",
        "| request | gets |",
        "|---|---|",
    ]
    for name, count in hostile.items():
        what, got = name.rsplit(": ", 1)
        lines.append(f"| {what} | {count} times {got} |")
    return "\n".join([*lines, f"| 1,000 sound ones at once | {', '.join(gets)} |"])


if __name__ == "__main__":
    main()
