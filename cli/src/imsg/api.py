"""A client of the public API for the command line: one call, its answer, or what stood in its way."""

import json
import locale
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx

from imsg.location import Account, find_account

CALL_TIMEOUT_S = 60.0
"""A request with 10 MiB of attachments over a slow line takes its time."""

CONFIG = "imsg"


class Refused(Exception):  # noqa: N818  an answer
    """The API said no; `answer` is its whole object."""

    def __init__(self, answer: Mapping[str, Any]) -> None:
        super().__init__(answer.get("errorMessage"))
        self.answer = answer

    @property
    def words(self) -> str:
        """The API's words and its remedy."""
        code, message = self.answer.get("errorCode"), str(self.answer.get("errorMessage", ""))
        detail = str(self.answer.get("detail", ""))
        return f"{code} {message}" if detail in message else f"{code} {message}: {detail}"


class LoginRefused(Refused):
    """The account of the settings was not let in."""


class Unreachable(Exception):  # noqa: N818
    """Nobody answered, or not in the API's language. Whether the request was carried out is not known."""


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
        if self._account is not None and self._token is None:
            self._token = self._log_in(self._account)
        return self._call(method, path, body, params, headers)

    def log_out(self) -> None:
        """End the token that the first call got; one that was given stays."""
        if self._account is not None and self._token is not None:
            with suppress(Refused, Unreachable):
                self._call("POST", "/api/v2/logout")
            self._token = None

    def _log_in(self, account: Account) -> str:
        body = {"username": account.username, "password": account.password.get_secret_value()}
        try:
            return str(self._call("POST", "/api/v2/login", body)["token"])
        except Refused as refused:
            raise LoginRefused(refused.answer) from refused

    def _call(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        sent = {"Accept-Language": _language(), **(headers or {})}
        if self._token is not None:
            sent["Authorization"] = f"Bearer {self._token}"
        try:
            response = self._client.request(method, path, json=body, params=params, headers=sent)
            answer = response.json()
        except httpx.HTTPError as error:
            raise Unreachable(f"{self._client.base_url} does not answer: {error or type(error).__name__}") from error
        except ValueError as error:
            raise Unreachable(f"{self._client.base_url} is no iMSG: HTTP {response.status_code}, no JSON") from error
        if not isinstance(answer, dict) or "errorCode" not in answer:
            raise Unreachable(f"{self._client.base_url} is no iMSG: its answer has no errorCode")
        if answer["errorCode"] != 0:
            raise Refused(answer)
        return answer


@contextmanager
def connect(url: str, token: str | None = None) -> Iterator[Api]:
    """Open a client; `token` None takes the one that `imsg login` has kept for this URL, else the settings' account."""
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
    """Return the token kept for a URL."""
    found = _read().get(url.rstrip("/"))
    return found if isinstance(found, str) else None


def keep_token(url: str, token: str) -> Path:
    """Keep a token for a URL in a file that only its owner reads; return the file."""
    path = _path()
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_suffix(f".{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        json.dump({**_read(), url.rstrip("/"): token}, file)
    draft.replace(path)
    return path


def _read() -> dict[str, Any]:
    try:
        kept = json.loads(_path().read_text())
    except (OSError, ValueError):
        return {}
    return kept if isinstance(kept, dict) else {}


def _path() -> Path:
    home = os.environ.get("XDG_CONFIG_HOME")
    return (Path(home) if home else Path.home() / ".config") / CONFIG / "tokens.json"


def _language() -> str:
    chosen = os.environ.get("LC_ALL") or os.environ.get("LC_MESSAGES") or os.environ.get("LANG") or ""
    name, _ = locale.getlocale() if not chosen else (chosen, None)
    return "zh" if (name or "").startswith("zh") else "en"
