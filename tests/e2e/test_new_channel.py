"""docs/new-channel.md, executed: a channel joins when its package is installed."""

import json
import os
import re
import subprocess
import threading
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from imsg_channels import METHODS
from imsg_testing.deployment import run_up, running
from imsg_testing.servers import reserve_port
from imsg_testing.waiting import wait

pytestmark = pytest.mark.long  # installs a channel

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "tests" / "example" / "sender-pager"


def install(folder: Path) -> str:
    """Install the example channel beside iMSG, as `pip install` would; return a PYTHONPATH with it."""
    command = [str(ROOT / ".uv" / "bin" / "uv"), "pip", "install", "--offline", "--no-deps", "--target", str(folder)]
    subprocess.run([*command, str(EXAMPLE)], check=True, cwd=ROOT, capture_output=True, timeout=100)
    return str(folder)


@pytest.mark.parametrize("page", ["new-channel.md", "new-channel.zh.md"])
def test_the_example_joins_by_the_entry_point_that_the_page_shows(page: str) -> None:
    """A reader copies it."""
    (shown,) = re.findall(r"```toml\n(.*?)```", (ROOT / "docs" / page).read_text(), re.DOTALL)
    example = tomllib.loads((EXAMPLE / "pyproject.toml").read_text())
    assert example["project"]["entry-points"] == tomllib.loads(shown)["project"]["entry-points"]


def test_every_sender_splits_by_its_description() -> None:
    """A cancel finds a message's chunk by the description, and not by the sender."""
    modules = [*ROOT.glob("sender-*/src/*/channel.py"), *EXAMPLE.glob("src/*/channel.py")]
    sizes = {module: re.findall(r"chunk_size=(\w+)", module.read_text()) for module in modules}
    assert sizes == {module: [module.parent.name.removeprefix("imsg_").upper()] for module in modules}


@contextmanager
def provider() -> Iterator[tuple[str, list[dict[str, str]]]]:
    """Run a pager provider that knows no number beginning with 9."""
    pages: list[dict[str, str]] = []

    class Desk(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            page = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            known = not page["number"].startswith("9")
            if known:
                pages.append(page)
            self.send_response(200 if known else 404)
            self.end_headers()
            self.wfile.write(b"beeped" if known else b"no such pager")

        def log_message(self, *_: object) -> None:
            """Stay quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Desk)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", pages
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_a_channel_that_is_merely_installed_idles_and_reports_what_to_set(tmp_path: Path) -> None:
    """It has no stand-in, so that nothing plays its provider; the other methods go on."""
    path = install(tmp_path / "site")
    with running(tmp_path / "run", {"PYTHONPATH": path}) as deployment:
        token = deployment.token()

        def read_pager() -> dict[str, object]:
            channels = deployment.call("GET", "/api/v2/channels", {"token": token})["channels"]
            return next(channel for channel in channels if channel["method"] == "pager")

        wait(lambda: read_pager()["state"] == "blocked")
        assert read_pager()["why"] == "no provider is configured: set IMSG_PAGER__URL"
        page = {"token": token, "to": "123456", "method": "pager", "content": "速回电话"}
        wait(lambda: deployment.call("POST", "/api/v2/messages/check", page)["errorCode"] != 0)
        refused = deployment.call("POST", "/api/v2/messages", page)
        assert (refused["reason"], "IMSG_PAGER__URL" in refused["detail"]) == ("no_provider", True)
        mail = deployment.send("zhang@example.com")
        assert deployment.wait_settled(mail["id"])[0]["status"] == "sent"


@pytest.mark.parametrize(
    "wrong", [{"IMSG_PAGER__TIMEOUT_S": "5"}, {"IMSG_PAGER__URL": "x", "IMSG_PAGER__TIMEOUT_S": "x"}]
)
def test_a_channel_of_which_something_is_set_wrongly_stops_the_start(tmp_path: Path, wrong: dict[str, str]) -> None:
    """Half of a provider is a mistake to be told."""
    settings = {"PATH": os.defpath, "PYTHONPATH": install(tmp_path / "site"), "IMSG_PORT": str(reserve_port())}
    done = run_up(settings | wrong, tmp_path)
    assert done.returncode == 2
    assert "IMSG_PAGER__" in done.stderr


def test_a_channel_joins_by_being_installed(tmp_path: Path) -> None:
    """Send to two pagers; one is known, one not; query tells both, and the other methods go on."""
    path = install(tmp_path / "site")
    with (
        provider() as (url, pages),
        running(tmp_path / "run", {"PYTHONPATH": path, "IMSG_PAGER__URL": url}) as deployment,
    ):
        body = {"token": deployment.token(), "to": ["123456", "987654"], "method": "pager", "content": "速回电话"}
        accepted = deployment.call("POST", "/api/send", body)
        assert accepted["errorCode"] == 0, accepted
        messages = {message["to"]: message for message in deployment.wait_settled(accepted["id"], 2)}

        assert [page["text"] for page in pages] == ["速回电话"]
        assert messages["123456"]["status"] == "sent"
        assert messages["987654"]["status"] == "failed"
        assert messages["987654"]["error"] == {"code": "404", "detail": "no such pager"}
        assert deployment.call("POST", "/api/send", body | {"to": "12"})["errorCode"] == 10011
        assert deployment.call("POST", "/api/send", body | {"content": " "})["errorCode"] == 10009
        unknown = deployment.call("POST", "/api/v2/messages", body | {"method": "fax"})
        assert unknown["detail"] == f"method 必须是 {'、'.join(METHODS)} 或 pager。"
        channels = deployment.call("GET", "/api/v2/channels", {"token": deployment.token()})["channels"]
        assert [channel["method"] for channel in channels] == [*METHODS, "pager"]
        schemas = deployment.call("GET", "/openapi.json")["components"]["schemas"]
        assert schemas["SendPager"]["properties"]["content"]["anyOf"][0] == {
            "$ref": "#/components/schemas/PagerContent"
        }

        mail = deployment.send("zhang@example.com")
        assert deployment.wait_settled(mail["id"])[0]["status"] == "sent"
