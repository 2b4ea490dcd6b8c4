"""The origin of a request, with and without TLS."""

from ipaddress import ip_network

import pytest

from imsg_console.origin import Origins
from imsg_console.paths import back, login_url

PROXY = [ip_network("10.0.0.0/8")]


def scope(client: str = "192.0.2.1", scheme: str = "http", **headers: str) -> dict[str, object]:
    """Make what ASGI says of a request; `x_forwarded_proto` is x-forwarded-proto."""
    named = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return {"type": "http", "scheme": scheme, "client": (client, 4), "headers": named, "path": "/"}


@pytest.mark.parametrize(
    ("origin", "host", "is_ours"),
    [
        ("http://imsg.example:8000", "imsg.example:8000", True),
        ("https://IMSG.example", "imsg.example", True),
        ("http://imsg.example:8001", "imsg.example:8000", False),
        ("http://evil.example", "imsg.example", False),
        ("http://imsg.example.evil.example", "imsg.example", False),
        ("null", "imsg.example", False),
        ("", "imsg.example", False),
        ("", "", False),
        ("http://public.example", "inner:8000", True),
    ],
)
def test_a_request_is_ours_when_its_origin_is_the_host_that_was_asked(origin: str, host: str, *, is_ours: bool) -> None:
    origins = Origins("https://public.example", [])

    assert origins.is_ours(scope(origin=origin, host=host)) is is_ours


def test_only_a_trusted_proxy_is_believed_about_tls() -> None:
    origins = Origins("", PROXY)

    assert origins.is_tls(scope("10.1.2.3", x_forwarded_proto="https"))
    assert not origins.is_tls(scope("192.0.2.1", x_forwarded_proto="https"))
    assert origins.is_tls(scope("192.0.2.1", "wss"))
    assert Origins("https://public.example", []).is_tls(scope())


def test_a_cookie_over_tls_is_bound_to_its_host() -> None:
    origins = Origins("", PROXY)

    assert origins.cookie(scope("10.1.2.3", x_forwarded_proto="https"), "imsg_session") == "__Host-imsg_session"
    assert origins.cookie(scope(), "imsg_session") == "imsg_session"


@pytest.mark.parametrize(
    "asked",
    [
        "//evil.example",
        "/\\evil.example",
        "https://evil.example",
        "evil",
        "",
        "/a\nb",
        "/\u2028",
        "/login?next=/x",
        "/logout",
    ],
)
def test_the_log_in_leads_nowhere_else(asked: str) -> None:
    assert back(asked) == "/"


def test_the_log_in_leads_back_to_the_earlier_page() -> None:
    assert login_url("/users", "search=王&x=1", "idle") == "/login?next=%2Fusers%3Fsearch%3D%E7%8E%8B%26x%3D1&why=idle"
    assert back("/users?search=王&x=1") == "/users?search=王&x=1"
