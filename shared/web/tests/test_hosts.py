"""Under which names iMSG answers, on loopback and elsewhere, and who is asked for no name."""

from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr
from starlette.responses import PlainTextResponse
from starlette.types import Message

from imsg_runtime.settings import Common
from imsg_web.hosts import HostCheck, Hosts

EVERYWHERE = "0.0.0.0"
KEY = "the service key of this test, long enough"


@pytest.fixture(autouse=True)
def empty_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Change to a folder without .env or imsg.toml."""
    monkeypatch.chdir(tmp_path)


def settings(**given: Any) -> Common:  # noqa: ANN401  any setting
    """Return settings, by default on loopback."""
    return Common(service_key=(SecretStr(KEY),), **given)


def accepts(asked: Common, host: str, path: str = "/api/login", *others: tuple[bytes, bytes]) -> bool:
    """Return whether a request with this Host is accepted."""
    headers = [(b"host", host.encode()), *others]
    return Hosts(asked).accepts({"type": "http", "path": path, "headers": headers})


async def ask(asked: Common, **headers: str) -> httpx.Response:
    """Return the answer of an app behind the rule."""
    transport = httpx.ASGITransport(HostCheck(PlainTextResponse("in"), Hosts(asked)))
    async with httpx.AsyncClient(transport=transport, base_url="http://evil.example:8000") as client:
        return await client.get("/api/me", headers=headers)


@pytest.mark.parametrize(
    ("host", "is_taken"),
    [
        ("127.0.0.1:8000", True),
        ("127.1.2.3", True),
        ("localhost:8000", True),
        ("LOCALHOST.", True),
        ("[::1]:8000", True),
        ("imsg.example", True),
        ("IMSG.example:8443", True),
        ("other.example", True),
        ("a.wild.example", True),
        ("wild.example", False),
        ("evil.example:8000", False),
        ("evil.localhost", False),
        ("127.0.0.1.evil.example", False),
        ("127.0.0.1@evil.example", False),
        ("evil.example@127.0.0.1", False),
        ("[::1].evil.example", False),
        ("[::1]evil.example:8000", False),
        ("127.0.0.1:8000,evil.example", False),
        ("localhost:evil.example", False),
        ("127.0.0.1/evil.example", False),
        ("192.0.2.7", False),
        ("0.0.0.0", False),
        ("gateway:8000", False),
        ("", False),
        ("[", False),
        ("*", False),
    ],
)
def test_on_loopback_another_name_is_a_page_that_poses_as_ours(host: str, *, is_taken: bool) -> None:
    asked = settings(public_url="https://imsg.example/", allowed_hosts=("other.example", "*.wild.example"))

    assert accepts(asked, host) is is_taken


def test_a_public_url_without_its_scheme_names_its_host_too() -> None:
    assert accepts(settings(public_url="imsg.example:8443"), "imsg.example")


def test_elsewhere_every_name_will_do_until_some_are_named() -> None:
    assert accepts(settings(host=EVERYWHERE, public_url="https://imsg.example"), "anything.example")
    named = settings(host=EVERYWHERE, public_url="https://imsg.example", allowed_hosts=("other.example",))
    assert [accepts(named, host) for host in ("other.example", "imsg.example", "anything.example", "192.0.2.7")] == [
        True,
        True,
        False,
        False,
    ]


@pytest.mark.parametrize("path", ["/health/live", "/health/open", "/health/ready", "/metrics"])
def test_probes_and_metrics_are_asked_for_no_name(path: str) -> None:
    assert accepts(settings(), "10.1.2.3:8000", path)
    assert accepts(settings(), "", path)
    assert not accepts(settings(), "10.1.2.3:8000", f"{path}/more")


@pytest.mark.parametrize("host", ["gateway:8000", "sender-wechat:8000", "127.0.0.1:8000"])
def test_services_and_this_machine_may_use_unlisted_names(host: str) -> None:
    assert accepts(settings(host=EVERYWHERE, allowed_hosts=("imsg.example",)), host)


def test_who_has_the_service_key_is_asked_for_no_name() -> None:
    for asked in (settings(), settings(host=EVERYWHERE, allowed_hosts=("imsg.example",))):
        assert accepts(asked, "10.1.2.3:8000", "/internal/user-cache", (b"x-imsg-key", KEY.encode()))
        assert not accepts(asked, "10.1.2.3:8000", "/internal/user-cache", (b"x-imsg-key", b"another"))
        assert not accepts(asked, "10.1.2.3:8000", "/internal/user-cache", (b"x-imsg-key", b""))


def test_two_names_at_once_are_none() -> None:
    assert not accepts(settings(), "localhost", "/api/login", (b"host", b"evil.example"))


async def test_the_answer_names_the_setting_to_a_program_in_the_public_shape() -> None:
    answer = await ask(settings())

    assert (answer.status_code, answer.json()["reason"]) == (421, "wrong_host")
    assert "evil.example" in answer.json()["detail"]
    assert "IMSG_ALLOWED_HOSTS" in answer.json()["detail"]


async def test_the_answer_names_the_setting_to_a_browser_in_a_sentence() -> None:
    answer = await ask(settings(), accept="text/html", **{"accept-language": "en"})

    assert (answer.status_code, answer.headers["content-type"]) == (421, "text/plain; charset=utf-8")
    assert "iMSG does not answer under the name evil.example:8000" in answer.text
    assert "IMSG_ALLOWED_HOSTS" in answer.text


async def test_a_socket_under_another_name_is_not_opened() -> None:
    said: list[Message] = []

    async def receive() -> dict[str, str]:
        return {"type": "websocket.connect"}

    async def send(message: Message) -> None:
        said.append(message)

    scope = {"type": "websocket", "path": "/_nicegui_ws/", "headers": [(b"host", b"evil.example")]}
    await HostCheck(PlainTextResponse("in"), Hosts(settings()))(scope, receive, send)
    assert [message["type"] for message in said] == ["websocket.close"]
    said.clear()
    await HostCheck(PlainTextResponse("in"), Hosts(settings()))(
        {**scope, "extensions": {"websocket.http.response": {}}}, receive, send
    )
    assert said[0]["type"] == "websocket.http.response.start"
    assert said[0]["status"] == 421
