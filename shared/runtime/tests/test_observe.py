"""What reaches the log: no token of a URL, and at DEBUG nothing that libraries say of cookies and typed text."""

import logging
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
import structlog

from imsg_runtime.observe import configure, logger


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    """Leave logging as it was."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


@pytest.mark.parametrize("form", ["text", "json"])
def test_a_token_in_a_url_reaches_no_line(form: str, capsys: pytest.CaptureFixture[str]) -> None:
    configure("INFO", "json" if form == "json" else "text")
    try:
        urlsplit("http://[/api/query?token=c2VjcmV0Kw==&to=x").port  # noqa: B018
    except ValueError as error:
        error.add_note("http://iMSG/api/query?token=c2VjcmV0Kw==&to=x is wrong")
        logging.getLogger("nicegui").exception("http://iMSG/nowhere?Token=c2VjcmV0 not found")
        logger("test").exception("bug", url="/api/query?to=x&token=c2VjcmV0")
    logging.getLogger("library").warning("GET %s failed", "/api/query?token=c2VjcmV0%3D")
    said = capsys.readouterr().err
    assert "c2VjcmV0" not in said
    assert said.count("oken=••••") >= 5
    assert "&to=x is wrong" in said


@pytest.mark.parametrize(
    "name", ["engineio.server", "socketio.server", "websockets.server", "uvicorn.error", "nicegui"]
)
def test_debug_is_ours_alone(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    configure("DEBUG", "text")
    logging.getLogger(name).debug('cookie: imsg_session=secret, 42["event", "typed"]')
    logger("test").debug("ours")
    said = capsys.readouterr().err
    assert "secret" not in said
    assert "ours" in said
