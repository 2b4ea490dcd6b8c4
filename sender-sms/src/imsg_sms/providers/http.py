"""Any provider with a plain HTTP API, described in imsg.toml: placeholders are filled in and encoded by their place."""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import quote

import httpx

from imsg_contract.wire import Again, Refused, Sent, Unknown
from imsg_sms.providers import Answer
from imsg_sms.providers.clients import Clients, NoAnswer, NotSent
from imsg_sms.providers.meanings import SERVER_ERROR, TOO_MANY, failed
from imsg_sms.receipts import Receipts
from imsg_sms.settings import Http, Sms
from imsg_sms.templates import Book, Message, describe_text

NAME = "http"
OK = 200
MAX_DETAIL = 300

_PLACE = re.compile(r"\{(\w+)\}")


def make(sms: Sms, clients: Clients, receipts: Receipts, public_url: str = "") -> "HttpProvider | None":
    """Make the provider; None where nothing of it is described."""
    del receipts, public_url
    if sms.http is None:
        return None
    book = describe_text(NAME, sms.templates, signature=sms.http.signature, suffix=sms.http.suffix)
    return HttpProvider(sms.http, clients, book)


class HttpProvider:
    """The provider. It can't be asked what became of a message, and its receipts are not read."""

    name = NAME
    is_mixing = True
    takes_text = True

    def __init__(self, settings: Http, clients: Clients, book: Book) -> None:
        self._book = book
        self.limits = book.limits
        self._settings = settings
        self._clients = clients
        self.most = settings.numbers
        self._secrets = {name: value.get_secret_value() for name, value in settings.secrets.items()}
        kind = next((value for name, value in settings.headers.items() if name.lower() == "content-type"), "")
        self._kind = kind or _guess(settings.body)

    async def send(self, message: Message, numbers: Sequence[str], reference: str) -> Answer:
        """Make the call that the description makes of this message."""
        used = self._book.find(message)
        values = {
            **self._secrets,
            "number": ",".join(numbers),
            "digits": ",".join(number.removeprefix("+") for number in numbers),
            "text": f"{used.signature}{used.text}",
            "template": used.id,
            "params": json.dumps(dict(used.params), ensure_ascii=False, separators=(",", ":")),
            "reference": reference,
        }
        described = self._settings
        url = fill(described.url, values, _in_url)
        headers = {name: fill(value, values, _in_header) for name, value in described.headers.items()}
        body = fill(described.body, values, _encoder(self._kind)).encode() if described.body else None
        if body is not None:
            headers = {"content-type": self._kind, **{name.lower(): value for name, value in headers.items()}}
        try:
            answer = await self._clients.call(described.method, url, headers, body)
        except (NotSent, NoAnswer) as error:
            return failed(NAME, error)
        return self._meant(answer)

    def _meant(self, answer: httpx.Response) -> Answer:
        status, said = answer.status_code, answer.text[:MAX_DETAIL]
        if status >= SERVER_ERROR:
            return Answer(Unknown(NAME, f"http_{status}", said), concerns="provider")
        if status == TOO_MANY:
            return Answer(Again(NAME, f"http_{status}", said), concerns="provider")
        try:
            body = answer.json()
        except ValueError:
            body = None
        if is_success(self._settings.success, status, body, answer.text):
            identity = at(body, self._settings.id) if self._settings.id else None
            return Answer(Sent(NAME, None if identity is None else str(identity), said))
        if status == OK and body is None and "=" in self._settings.success and not _is_of_text(self._settings.success):
            return Answer(Unknown(NAME, "unreadable", said), concerns="provider")
        return Answer(Refused(NAME, f"http_{status}", said), concerns="content", of_one=True)


def fill(template: str, values: Mapping[str, str], encode: Callable[[str], str]) -> str:
    """Put values in the places of `{name}`; what names no value stays as it is, JSON's own braces too."""
    return _PLACE.sub(lambda place: encode(values[place[1]]) if place[1] in values else place[0], template)


def is_success(rule: str, status: int, body: Any, text: str) -> bool:  # noqa: ANN401  any JSON
    """Judge an answer by the rule: `status=200`, `text=…` (its beginning), or `PATH=VALUE` in its JSON."""
    path, _, wanted = rule.partition("=")
    path = path.strip()
    if path == "status":
        return str(status) == wanted.strip()
    if path == "text":
        return text.strip().startswith(wanted.strip())
    found = at(body, path)
    written = json.dumps(found) if isinstance(found, bool) or found is None else str(found)
    return found is not None and written == wanted.strip()


def at(body: Any, path: str) -> Any:  # noqa: ANN401
    """Follow a path such as `data.0.id` into JSON; None where it leads nowhere."""
    for step in path.split("."):
        if isinstance(body, dict):
            body = body.get(step)
        elif isinstance(body, list) and step.isdecimal() and int(step) < len(body):
            body = body[int(step)]
        else:
            return None
    return body


def _is_of_text(rule: str) -> bool:
    return rule.partition("=")[0].strip() in ("status", "text")


def _guess(body: str) -> str:
    return "application/json" if body.lstrip().startswith(("{", "[")) else "application/x-www-form-urlencoded"


def _encoder(kind: str) -> Callable[[str], str]:
    if "json" in kind:
        return _in_json
    if "form" in kind:
        return _in_url
    return _in_xml if "xml" in kind else str


def _in_json(value: str) -> str:
    """Write a value for inside a JSON string: the description has the quotes."""
    return json.dumps(value, ensure_ascii=False)[1:-1]


def _in_url(value: str) -> str:
    return quote(value, safe="")


def _in_xml(value: str) -> str:
    for letter, entity in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ('"', "&quot;")):
        value = value.replace(letter, entity)
    return value


def _in_header(value: str) -> str:
    """Write a value for a header: line ends would begin another, and headers are ASCII."""
    return value if value.isascii() and value.isprintable() else quote(value, safe=" ")
