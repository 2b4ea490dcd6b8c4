"""Closed-loop load: wrk keeps so many connections busy, each with its next request as soon as it has its answer."""

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path

from imsg_testing.servers import MissingServerError, find_program

SCRIPT = Path(__file__).parent / "wrk.lua"

CONNECTIONS = 64


class LoadError(Exception):
    """Requests were refused or lost: the figure would count what was not done."""


@dataclass(frozen=True, slots=True)
class Load:
    """What a turn of load has found."""

    accepted: int
    seconds: float

    @property
    def rate(self) -> float:
        """Accepted requests a second."""
        return self.accepted / self.seconds


def run(url: str, body: Path, seconds: float, connections: int = CONNECTIONS) -> Load:
    """POST a body over and over for so long, or those of a file with one a line in turn.

    Raises LoadError where any was not accepted.
    """
    wrk = find_program("wrk")
    if wrk is None:
        raise MissingServerError("wrk is not installed: apt-get install wrk")
    command = [str(wrk), "-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s", "-s", str(SCRIPT), url]
    completed = subprocess.run(
        [*command, "--", str(body)], capture_output=True, text=True, timeout=seconds + 30, check=False
    )
    lines = completed.stderr.splitlines()
    if completed.returncode != 0 or not lines or not lines[0].startswith("{"):
        raise LoadError(f"wrk failed: {completed.stderr[-500:] or completed.stdout[-500:]}")
    report = json.loads(lines[0])
    if report["refused"] or report["lost"]:
        raise LoadError(f"{url}: {report['refused']} refused, {report['lost']} lost: {' '.join(lines[1:])[:300]}")
    return Load(report["accepted"], report["seconds"])
