"""A subscriber of ntfy: keeps the stream of a topic open, and after an end asks for what came since.

It forgets no message's id, as ntfy's own clients do: asked for what came since one that it did not get to keep, the
server sends all again.

Run: `python -m imsg_bench.peers.subscriber PORT TOPIC FOLDER`.
"""

import asyncio
import json
import sys
from pathlib import Path

import uvloop

from imsg_bench.counts import Counts

AGAIN_AFTER_S = 0.1


async def follow(port: int, topic: str, folder: Path) -> None:
    """Follow for ever."""
    counts = Counts(folder / "messages")
    since, known = "none", set[str]()
    with (folder / "numbers").open("a", buffering=1) as file:
        while True:
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                path = f"/{topic}/json?since={since}"
                writer.write(f"GET {path} HTTP/1.0\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode())
                await reader.readuntil(b"\r\n\r\n")
                while line := await reader.readline():
                    if not line.startswith(b"{"):
                        continue  # the length of a chunk
                    event = json.loads(line)
                    if event["event"] == "message" and event["id"] not in known:
                        known.add(since := event["id"])
                        file.write(f"{event['message']}\n")
                        counts.add()
                writer.close()
            except (OSError, EOFError):
                pass
            await asyncio.sleep(AGAIN_AFTER_S)


if __name__ == "__main__":
    uvloop.run(follow(int(sys.argv[1]), sys.argv[2], Path(sys.argv[3])))
