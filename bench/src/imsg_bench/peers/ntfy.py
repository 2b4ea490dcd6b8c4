"""ntfy: takes a message over HTTP, keeps it in SQLite, passes it to the subscribers."""

import subprocess
import sys
from collections import Counter

from imsg_bench.counts import Counts
from imsg_bench.peers.flood import PLACE
from imsg_bench.peers.ours import http_post
from imsg_bench.peers.peer import Endpoint, Peer, program, read_numbers

TOPIC = "orders"
SETTINGS = """\
base-url: "http://127.0.0.1:{port}"
listen-http: "127.0.0.1:{port}"
cache-file: "{folder}/cache.db"
cache-duration: "72h"
visitor-request-limit-exempt-hosts: "127.0.0.1"
visitor-message-daily-limit: 100000000
visitor-request-limit-burst: 100000000
global-topic-limit: 100
log-level: warn
"""


class Ntfy(Peer):
    """A publisher to phones."""

    NAME = "ntfy"
    WHAT = "HTTP in, one subscriber's stream out, which asks for what it missed after a restart; push"
    SETTINGS = "cache-file on SQLite as it comes (a commit a message), limits of visitors lifted"

    def version(self) -> str:
        """Return the package's version."""
        program("ntfy", "ntfy")
        command = ["dpkg-query", "-W", "-f", "${Version}", "ntfy"]
        return subprocess.run(command, capture_output=True, text=True, timeout=30, check=True).stdout.strip()

    def open(self) -> Endpoint:
        """Start it, and a subscriber."""
        port = self.port()
        settings = self.folder / "server.yml"
        settings.write_text(SETTINGS.format(port=port, folder=self.folder))
        self.add([program("ntfy", "ntfy"), "serve", "--config", str(settings)], port)
        (self.folder / "numbers").touch()
        self._counts = Counts(self.folder / "messages")
        command = [sys.executable, "-m", "imsg_bench.peers.subscriber", str(port), TOPIC, str(self.folder)]
        self.beside(command, port)
        return Endpoint("http", port, http_post(f"/{TOPIC}", PLACE, "text/plain"), '"event":"message"')

    @property
    def counts(self) -> Counts:
        """Of the subscriber."""
        return self._counts

    def count_delivered(self) -> Counter[int]:
        """Read what the subscriber has had."""
        return read_numbers(self.folder / "numbers", lambda word: word)
