"""A client of the public API for the command line."""

import json
import locale
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx

from imsg.counting import counting
from imsg.location import Account, find_account
from imsg_runtime.lines import Line, fill
from imsg_runtime.settings import StartError

CALL_TIMEOUT_S = 60.0
"""A request with 10 MiB of attachments over a slow line takes its time."""

PAGE = 500
"""The most rows that the API returns at once."""

CONFIG = "imsg"


class Refused(Exception):  # noqa: N818  an answer
    """The API refused a call; `answer` is its whole object."""

    def __init__(self, answer: Mapping[str, Any]) -> None:
        super().__init__(answer.get("errorMessage"))
        self.answer = answer

    @property
    def words(self) -> str:
        """The API's message and its remedy."""
        code, message = self.answer.get("errorCode"), str(self.answer.get("errorMessage", ""))
        detail = str(self.answer.get("detail", ""))
        return f"{code} {message}" if detail in message else f"{code} {message}: {detail}"


class LoginRefused(Refused):
    """The API refused the account of the settings."""


class Unreachable(Exception):  # noqa: N818
    """No answer of the API came: `line` says why. Whether it processed the request is not known."""

    def __init__(self, line: Line) -> None:
        super().__init__(line)
        self.line = line


class Api:
    """Calls to one iMSG."""

    def __init__(self, client: httpx.Client, token: str | None, account: Account | None = None) -> None:
        """Without a token the first call logs `account` in, if there is one."""
        self._client = client
        self._token = token
        self._account = None if token else account

    def call(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        """Return the answer's object. Raises Refused, Unreachable."""
        return _read_answer(self._request(method, path, body, params=params, headers=headers))

    def read_tagged(self, path: str) -> tuple[dict[str, Any], str]:
        """Return the answer's object, and the ETag with which it may be replaced. Raises Refused, Unreachable."""
        response = self._request("GET", path)
        return _read_answer(response), response.headers["etag"]

    def fetch(self, path: str) -> bytes:
        """Return the file that a path answers. Raises Refused, Unreachable."""
        response = self._request("GET", path)
        if not response.is_success:
            _read_answer(response)
        return response.content

    def iterate(self, path: str, field: str, params: Mapping[str, str]) -> Iterator[dict[str, Any]]:
        """Yield the rows in `field` of every page. Raises Refused, Unreachable."""
        cursor: str | None = ""
        with counting(field) as count:
            while cursor is not None:
                more = {"cursor": cursor} if cursor else {}
                answer = self.call("GET", path, params={**params, "limit": str(PAGE), **more})
                count(len(answer[field]))
                yield from answer[field]
                cursor = answer["next"]

    def collect(self, path: str, field: str, params: Mapping[str, str], limit: int | None = None) -> dict[str, Any]:
        """Return the last page's answer with the rows of all pages in `field`, at most `limit`. Raises as `call`."""
        rows: list[dict[str, Any]] = []
        cursor: str | None = ""
        answer: dict[str, Any] = {}
        with counting(field) as count:
            while cursor is not None and (limit is None or len(rows) < limit):
                size = PAGE if limit is None else min(PAGE, limit - len(rows))
                more = {"cursor": cursor} if cursor else {}
                answer = self.call("GET", path, params={**params, "limit": str(size), **more})
                rows += answer[field]
                count(len(answer[field]))
                cursor = answer["next"]
        return {**answer, field: rows}

    def log_out(self) -> None:
        """End the token that the first call got; a saved one stays."""
        if self._account is not None and self._token is not None:
            with suppress(Refused, Unreachable):
                _read_answer(self._send("POST", "/api/v2/logout"))
            self._token = None

    def _log_in(self, account: Account) -> str:
        body = {"username": account.username, "password": account.password.get_secret_value()}
        try:
            return str(_read_answer(self._send("POST", "/api/v2/login", body))["token"])
        except Refused as refused:
            raise LoginRefused(refused.answer) from refused

    def _request(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        """Return the response, logged in first where that is due. Raises Refused, Unreachable."""
        if self._account is not None and self._token is None:
            self._token = self._log_in(self._account)
        return self._send(method, path, body, params, headers)

    def _send(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        sent = {"Accept-Language": language(), **(headers or {})}
        if self._token is not None:
            sent["Authorization"] = f"Bearer {self._token}"
        try:
            return self._client.request(method, path, json=body, params=params, headers=sent)
        except httpx.HTTPError as error:
            raise Unreachable(
                fill("{0} does not answer: {1}", self._client.base_url, str(error) or type(error).__name__)
            ) from error


def _read_answer(response: httpx.Response) -> dict[str, Any]:
    """Return the object of an answer. Raises Refused, Unreachable."""
    url = response.url.copy_with(path="/", query=None)
    try:
        answer = response.json()
    except ValueError as error:
        raise Unreachable(fill("{0} is no iMSG: HTTP {1}, no JSON", url, response.status_code)) from error
    if not isinstance(answer, dict) or "errorCode" not in answer:
        raise Unreachable(fill("{0} is no iMSG: its answer has no errorCode", url))
    if answer["errorCode"] != 0:
        raise Refused(answer)
    return answer


@contextmanager
def connect(url: str, token: str | None = None) -> Iterator[Api]:
    """Open a client; `token` None takes the saved one of this URL, else the account of the settings."""
    with open_client(url) as client:
        api = Api(client, token or read_token(url), find_account(url))
        try:
            yield api
        finally:
            api.log_out()


def open_client(url: str) -> httpx.Client:
    """Open connections to iMSG, for an Api without a token too."""
    return httpx.Client(base_url=url, timeout=httpx.Timeout(CALL_TIMEOUT_S, connect=5.0))


def read_token(url: str) -> str | None:
    """Return the token saved for a URL."""
    token = _read().get(url.rstrip("/"))
    return token if isinstance(token, str) else None


def save_token(url: str, token: str) -> Path:
    """Save a token for a URL in a file that only its owner can read; return the file.

    Raises StartError where the file can't be written.
    """
    path = _path()
    draft = path.with_suffix(f".{os.getpid()}")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            json.dump({**_read(), url.rstrip("/"): token}, file)
        draft.replace(path)
    except OSError as error:
        raise StartError(
            "the token can't be saved in {0} ({1}); XDG_CONFIG_HOME names another folder.",
            path,
            (error.strerror or str(error)).lower(),
        ) from error
    return path


def _read() -> dict[str, Any]:
    try:
        tokens = json.loads(_path().read_text())
    except (OSError, ValueError):
        return {}
    return tokens if isinstance(tokens, dict) else {}


def _path() -> Path:
    home = os.environ.get("XDG_CONFIG_HOME")
    return (Path(home) if home else Path.home() / ".config") / CONFIG / "tokens.json"


def language() -> str:
    """Return the language of the shell: `zh` or `en`."""
    chosen = os.environ.get("LC_ALL") or os.environ.get("LC_MESSAGES") or os.environ.get("LANG") or ""
    name, _ = locale.getlocale() if not chosen else (chosen, None)
    return "zh" if (name or "").startswith("zh") else "en"
