"""A probe that requests a server's liveness every few milliseconds: its wait is the stall of the server's event loop.

One request at a time on one connection that stays open; the next follows EVERY_S after an answer, so that a stall is
seen whole but for that. Each answer is a line in a file: when it was asked (CLOCK_MONOTONIC), and how many ms it took.
"""

import http.client
import sys
import time
from dataclasses import dataclass
from pathlib import Path

EVERY_S = 0.005
PATIENCE_S = 60.0
PATH = "/health/live"


@dataclass(frozen=True, slots=True)
class ProbeReply:
    """One answer."""

    at: float
    """When it was asked, by the clock of `time.monotonic`."""
    ms: float


def probe(host: str, port: int, file: Path) -> None:
    """Probe for ever, and write down every answer. Raises OSError and HTTPException without one."""
    connection = http.client.HTTPConnection(host, port, timeout=PATIENCE_S)
    with file.open("w", buffering=1) as lines:
        while True:
            asked_at = time.monotonic()
            connection.request("GET", PATH)
            answer = connection.getresponse()
            answer.read()
            if answer.status != http.client.OK:
                raise http.client.HTTPException(f"{PATH} answered {answer.status}")
            lines.write(f"{asked_at} {(time.monotonic() - asked_at) * 1e3}\n")
            time.sleep(EVERY_S)


def read(file: Path) -> list[ProbeReply]:
    """Read what was written so far; a last line that is being written is left out."""
    whole = file.read_text().rpartition("\n")[0]
    return [ProbeReply(float(at), float(ms)) for at, ms in (line.split() for line in whole.splitlines())]


def between(beats: list[ProbeReply], begun: float, ended: float) -> list[float]:
    """Return the ms of what was asked in a time, and of what was still waited for as it began."""
    return [beat.ms for beat in beats if beat.at < ended and beat.at + beat.ms / 1e3 >= begun]


if __name__ == "__main__":
    probe(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]))
