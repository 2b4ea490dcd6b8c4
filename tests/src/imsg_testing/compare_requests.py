"""Two revisions asked the same raw requests: `python -m imsg_testing.compare_requests A B`.

Each runs as `imsg up` with a data folder of its own. The requests go over a socket, byte for byte and in the same
order, first those of v1 (`v1_requests`), then those of v2 (`v2_requests`). Where the answers begin to differ is
printed, headers and their order included; what varies from run to run (`VARIES`) does not count, but how far a message
has come does. Exit code 1 where anything differs.
"""

import argparse
import contextlib
import json
import re
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from imsg_testing import baseline, v1_requests, v2_requests
from imsg_testing.deployment import Deployment
from imsg_testing.v1_requests import RawRequest

ANSWER_TIMEOUT_S = 60.0

VARIES = re.compile(
    r"[0-9a-f]{32}|(?<=;)[rt]=[0-9]+|(?<=retry-after: )[0-9]+|(?<=trace )[0-9a-f]{8}"
    r"|\d{4}-\d\d-\d\d(T[0-9:.%A]+(Z|(\+|%2B)\d\d(:|%3A)\d\d)?)?|[A-Za-z0-9+/]{80,}=*"
    r"|(?<=content-length: )[0-9]+|(?<=date: )[^\r\n]+|127\.0\.0\.1:[0-9]+|(?<=\"port\":)[0-9]+"
    r"|(?<=\"provider_id\":\")[^\"]+|(?<=secret=)\w+|(?<=\"secret\":\")\w+|(?<=\"qr\":\")[^\"]+"
)
"""Ids, times, tokens and secrets, what is left of limits, and ports."""

SHOWN = 60
"""Characters before and after the first difference that are printed."""

USERS: Mapping[str, Mapping[str, object]] = {
    "user": {"username": "zhang", "per_hour": 100_000, "per_day": 100_000},
    "disabled": {"username": "off", "available": False},
    "used": {"username": "used", "per_hour": 0},
    "auditor": {"username": "shen", "role": "auditor"},
    "operator": {"username": "yun", "role": "operator"},
}
PASSWORD = "correct horse battery staple 7"


def read_tokens(deployment: Deployment) -> dict[str, str]:
    """Make the users of the requests; return tokens by the names that the requests use, four of them false."""
    deployment.open_wide()
    tokens = {"admin": deployment.admin_token()}
    for name, fields in USERS.items():
        answer = deployment.client.post(
            "/api/v2/register",
            json={**fields, "password": PASSWORD},
            headers={"Authorization": f"Bearer {tokens['admin']}"},
        )
        if not answer.is_success:
            raise ValueError(f"{deployment.folder}: {name} was not made: {answer.text}")
        tokens[name] = deployment.token(str(fields["username"]), PASSWORD)
    user = tokens["user"]
    forged = {"old": user[:-8] + "AAAAAAA=", "nobody": user[:40] + user[48:], "expired": user[::-1]}
    return tokens | forged | {"wrapped": user[:40] + "\\r\\n" + user[40:]}


def write_request(request: RawRequest) -> bytes:
    """Return the bytes of a request, whose connection ends with its answer."""
    headers = {"content-length": str(len(request.body)), **request.headers}
    lines = [f"{request.verb} {request.path} HTTP/1.1", "Host: 127.0.0.1", "Connection: close"]
    lines += [f"{key}: {value}" for key, value in headers.items()]
    return "\r\n".join((*lines, "", "")).encode() + request.body


def ask(port: int, raw: bytes) -> str:
    """Send raw bytes; return the answer as it came, without what varies."""
    with socket.create_connection(("127.0.0.1", port), timeout=ANSWER_TIMEOUT_S) as connection:
        with contextlib.suppress(OSError):  # a body that is too large is refused before its end
            connection.sendall(raw)
        parts = []
        try:
            while part := connection.recv(65_536):
                parts.append(part)
        except ConnectionResetError:
            parts.append(b"\r\n(reset)")
    head, _, body = b"".join(parts).partition(b"\r\n\r\n")
    return VARIES.sub("…", f"{head.decode('latin-1')}\n\n{body.decode(errors='replace')}").replace("\r\n", "\n")


@contextlib.contextmanager
def running(name: str, folder: Path) -> Iterator[Deployment]:
    """Run a revision, or what stands in a folder, as `imsg up`."""
    own = Path(name) / ".venv/bin/imsg"
    if not own.exists():
        commit = subprocess.run(["git", "rev-parse", name], capture_output=True, text=True, check=True).stdout.strip()
        own = baseline.install(commit).with_name("imsg")
    deployment = Deployment(folder, command=(str(own.resolve()), "up"))
    try:
        deployment.start()
        deployment.wait_until_ready()
        yield deployment
    finally:
        deployment.close()


def compare(first: Deployment, second: Deployment, requests: Iterable[RawRequest]) -> Iterator[tuple[str, str, str]]:
    """Ask both the same; yield each request's name with the answers."""
    tokens = {deployment.port: read_tokens(deployment) for deployment in (first, second)}
    for request in requests:
        answers = [ask(side.port, write_request(request.fill(tokens[side.port]))) for side in (first, second)]
        yield request.name, answers[0], answers[1]


def show_difference(before: str, after: str) -> str:
    """Return both answers around the place where they begin to differ."""
    alike = zip(before, after, strict=False)
    place = next((n for n, (one, other) in enumerate(alike) if one != other), min(len(before), len(after)))
    around = slice(max(0, place - SHOWN), place + 4 * SHOWN)
    return "\n".join(
        f"{sign} …{json.dumps(text[around], ensure_ascii=False)}" for sign, text in (("-", before), ("+", after))
    )


def main(arguments: Sequence[str]) -> int:
    """Compare two revisions."""
    parser = argparse.ArgumentParser(prog="python -m imsg_testing.compare_requests", description=__doc__)
    parser.add_argument("first", metavar="A", help="a revision, or the folder of a tree that is set up")
    parser.add_argument("second", metavar="B", help="the other")
    parser.add_argument("--only", default="", help="only requests whose name has this in it")
    options = parser.parse_args(arguments)
    requests = [*v1_requests.list_requests(), *v2_requests.list_requests()]
    chosen = [request for request in requests if options.only in request.name]
    count = differing = 0
    with (
        tempfile.TemporaryDirectory() as folder,
        running(options.first, Path(folder) / "a") as first,
        running(options.second, Path(folder) / "b") as second,
    ):
        for name, before, after in compare(first, second, chosen):
            count += 1
            if before != after:
                differing += 1
                print(f"\n## {json.dumps(name, ensure_ascii=False)}\n" + show_difference(before, after))  # noqa: T201
    print(f"\n{count} requests, {differing} answered differently")  # noqa: T201
    return 1 if differing else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
