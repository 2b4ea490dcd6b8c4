"""The code examples of the page run as they are, with any content."""

import base64
import json
import re
import secrets
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from imsg_console.message import snippets
from imsg_console.message.snippets import SentRequest
from imsg_testing.deployment import Deployment, running
from imsg_testing.waiting import wait

pytestmark = pytest.mark.long

HOSTILE = "$(touch run) `touch run` \\n \\u0041 $HOME ${HOME} %s '\"'\"' JSON ❤ 😀 \x7f &lt;\nJSON\n$TOKEN\t</script>"

NAMES = ("合同 v1'\"$(touch run)`.pdf", "-n.txt")

Write = Callable[[SentRequest, str], str]
Run = Callable[[str, Path], str]


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """Start `imsg up`, once."""
    with running(tmp_path_factory.mktemp("snippets")) as opened:
        opened.open_wide()
        yield opened


def _shell(name: str) -> Run:
    def run(text: str, folder: Path) -> str:
        return _output([name, "-c", text], folder)

    return run


def _python(text: str, folder: Path) -> str:
    (folder / "send.py").write_text(text, encoding="utf-8")
    return _output([sys.executable, "send.py"], folder)


def _java(text: str, folder: Path) -> str:
    (folder / "Send.java").write_text(text, encoding="utf-8")
    return _output(["java", "-Dfile.encoding=UTF-8", "Send.java"], folder)


def _java_in_ascii(text: str, folder: Path) -> str:
    """Compile as Java before version 18 does in a locale that knows no Chinese."""
    (folder / "Send.java").write_text(text, encoding="utf-8")
    _output(["javac", "-encoding", "US-ASCII", "Send.java"], folder)
    return _output(["java", "-Dfile.encoding=UTF-8", "-cp", ".", "Send"], folder)


def _output(command: list[str], folder: Path) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode()


WAYS = [
    pytest.param(snippets.curl, _shell("sh"), id="curl-sh"),
    pytest.param(snippets.curl, _shell("bash"), id="curl-bash"),
    pytest.param(snippets.python, _python, id="python"),
    pytest.param(snippets.java, _java, id="java"),
]


def _send(deployment: Deployment, write: Write, run: Run, folder: Path, **sending: Any) -> list[dict[str, Any]]:  # noqa: ANN401
    """Write the code with a key, run it, and return history's record of the request."""
    user = deployment.new_user(per_hour=10)
    made = {"username": user, "name": "snippets", "kind": "live", "scopes": ["send:smtp", "query"]}
    key = deployment.call("POST", "/api/v2/keys", {**made, "token": deployment.token()})["key"]
    text = write(SentRequest(deployment.url, **sending), snippets.KEY_PLACE)
    said = run(text.replace(snippets.KEY_PLACE, key), folder)
    assert re.search(r'"errorCode": ?0|id=\'[0-9a-f]{32}\'', said), said
    assert not (folder / "run").exists()
    results: list[dict[str, Any]] = []

    def all_are_there() -> bool:
        query = {"token": deployment.token(), "username": user, "limit": "500"}
        results[:] = deployment.look_up("/api/query", **query)["messages"]
        return len(results) == len(sending["to"])

    wait(all_are_there, every_s=0.2, why=lambda: said)
    return results


@pytest.mark.parametrize(("write", "run"), [*WAYS, pytest.param(snippets.java, _java_in_ascii, id="java-in-ascii")])
def test_lines_send_what_was_sent_to_the_letter(deployment: Deployment, tmp_path: Path, write: Write, run: Run) -> None:
    content = {"subject": "会议 '\"$(touch run)`touch run`\\", "text": HOSTILE, "html": f"<p>{HOSTILE}</p>"}
    to = [f"one{secrets.token_hex(4)}@example.com", "o'brien+tag@example.com"]
    found = _send(deployment, write, run, tmp_path, method="smtp", to=to, content=content)
    assert sorted(message["to"] for message in found) == sorted(to)
    assert found[0]["content"] == content


@pytest.mark.parametrize(("write", "run"), WAYS)
def test_lines_read_attachments_and_long_lists_from_files(
    deployment: Deployment, tmp_path: Path, write: Write, run: Run
) -> None:
    for name in NAMES:
        (tmp_path / name).write_bytes(secrets.token_bytes(100_000))
    unique = secrets.token_hex(4)
    to = [f"reader{number}.{unique}@example.com" for number in range(snippets.LONG_LIST)] + ["o'brien+tag@example.com"]
    (tmp_path / snippets.LIST_FILE).write_text("\n".join(to), encoding="utf-8")
    content = {"subject": "附件", "text": HOSTILE}
    found = _send(deployment, write, run, tmp_path, method="smtp", to=to, content=content, files=NAMES)
    assert sorted(message["to"] for message in found) == sorted(to)
    assert found[0]["content"] == content
    assert [file["filename"] for file in found[0]["attachments"]] == list(NAMES)
    mail = deployment.wait_arrived(to=to[0])
    assert [file["size"] for file in mail["attachments"]] == [100_000, 100_000]


@pytest.mark.parametrize(("write", "run"), WAYS)
def test_lines_send_by_a_template(deployment: Deployment, tmp_path: Path, write: Write, run: Run) -> None:
    name, mail = f"of-{secrets.token_hex(3)}", {"subject": "{{ n }}", "text": "{{ n }}"}
    words = {"name": name, "category": "notice", "default_language": "zh", "languages": {"zh": {"smtp": mail}}}
    for path, body in (("", {**words, "shared": True}), (f"/{name}/publish", {})):
        answer = deployment.call("POST", f"/api/v2/templates{path}", {"token": deployment.token(), **body})
        assert answer["errorCode"] == 0, answer
    text = "7 '\"$(touch run)"
    content = {"template": name, "version": 1, "language": "zh", "params": {"n": text}}
    found = _send(deployment, write, run, tmp_path, method="smtp", to=["a@example.com"], content=content)
    assert (found[0]["content"]["template"], found[0]["content"]["text"]) == (name, text)


def test_a_list_with_quotes_in_it_stays_a_list(tmp_path: Path) -> None:
    to = ['say "hi"', "back\\slash", *(f"name{number}" for number in range(snippets.LONG_LIST))]
    (tmp_path / snippets.LIST_FILE).write_text("\n".join(to), encoding="utf-8")
    text = snippets.curl(SentRequest("http://127.0.0.1:1", "wechat", to, "您好"), "k")
    body = text[text.rindex("<<JSON\n") :].removeprefix("<<JSON\n").removesuffix("JSON\n")
    assert json.loads(_output(["sh", "-c", f"cat <<JSON\n{body}JSON\n"], tmp_path))["to"] == to


def test_the_longest_mail_is_no_constant_too_long_for_java(deployment: Deployment, tmp_path: Path) -> None:
    text = base64.b64encode(secrets.token_bytes(300_000)).decode()
    content = {"subject": "long", "text": text}
    found = _send(deployment, snippets.java, _java, tmp_path, method="smtp", to=["a@example.com"], content=content)
    (whole,) = deployment.messages(found[0]["id"])
    assert whole["content"] == content
