"""docs/new-channel.md, tried: the example channel joins by its folder and the lines named there, and nothing else."""

import json
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from imsg_testing.deployment import running

ROOT = Path(__file__).parents[2]

PAGER_ROW = """    for method in (
        Method(
            name="pager",
            address=lambda text: text if text.isascii() and text.isdigit() and len(text) == 6 else None,
            address_zh="寻呼号",
            address_en="pager number",
            content=lambda content, _templates, _attached: str(content),
            content_fields=(),
            life=timedelta(hours=1),
        ),
"""

PAGER_MADE = """    pager = imsg_pager.main.app(load(imsg_pager.main.Settings, **ground.given("pager")), apps)
    gateway = imsg_gateway.main.app("""

EDITS = {
    "shared/contract/src/imsg_contract/topology.py": [('"sms", "wechat")', '"sms", "wechat", "pager")')],
    "gateway/src/imsg_gateway/methods.py": [
        (
            "    for method in (\n",
            PAGER_ROW,
        )
    ],
    "cli/src/imsg/whole.py": [
        ("import imsg_history.main\n", "import imsg_history.main\nimport imsg_pager.main\n"),
        (
            "    gateway = imsg_gateway.main.app(",
            PAGER_MADE,
        ),
        ("smtp, sms, wechat, gateway, *", "smtp, sms, wechat, pager, gateway, *"),
    ],
}
"""File → what is replaced by what: the page names each of these lines."""


def joined(folder: Path) -> str:
    """Copy the three packages, put in the lines, and return a PYTHONPATH on which the channel is part of iMSG."""
    for file, edits in EDITS.items():
        member, _, module = file.partition("/src/")
        package = module.partition("/")[0]
        if not (folder / package).exists():
            shutil.copytree(ROOT / member / "src" / package, folder / package)
        path = folder / module
        text = path.read_text(encoding="utf-8")
        for old, new in edits:
            assert text.count(old) == 1, f"{file} has another form now: {old}"
            text = text.replace(old, new)
        path.write_text(text, encoding="utf-8")
    return f"{folder}:{ROOT / 'tests' / 'example' / 'sender-pager' / 'src'}"


@contextmanager
def firm() -> Iterator[tuple[str, list[dict[str, str]]]]:
    """Run a pager firm that knows no number beginning with 9."""
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


def test_a_channel_joins_by_its_folder_and_the_lines_of_the_page(tmp_path: Path) -> None:
    """Send to two pagers; one is known, one not; query tells both, and the other methods go on."""
    path = joined(tmp_path / "site")
    with firm() as (url, pages), running(tmp_path / "run", {"PYTHONPATH": path, "IMSG_PAGER__URL": url}) as deployment:
        body = {"token": deployment.token(), "to": ["123456", "987654"], "method": "pager", "content": "速回电话"}
        accepted = deployment.call("POST", "/api/send", body)
        assert accepted["errorCode"] == 0, accepted
        messages = {message["to"]: message for message in deployment.settled(accepted["id"], 2)}

        assert [page["text"] for page in pages] == ["速回电话"]
        assert messages["123456"]["status"] == "sent"
        assert messages["987654"]["status"] == "failed"
        assert messages["987654"]["error"] == {"code": "404", "detail": "no such pager"}
        assert deployment.call("POST", "/api/send", body | {"to": "12"})["errorCode"] == 10011

        mail = deployment.send("zhang@example.com")
        assert deployment.settled(mail["id"])[0]["status"] == "sent"


def test_the_page_names_every_file_that_is_touched() -> None:
    """What the test edits is what the page says."""
    page = (ROOT / "docs" / "new-channel.md").read_text(encoding="utf-8")
    assert [file for file in EDITS if f"`{file}`" not in page] == []
