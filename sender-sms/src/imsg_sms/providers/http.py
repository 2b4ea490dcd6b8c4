"""Any provider with a plain HTTP API, described in imsg.toml: placeholders are filled in and encoded by their place."""

import base64
import hashlib
import hmac
import json
import re
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from secrets import token_hex
from typing import Any
from urllib.parse import parse_qsl, quote, urlsplit
from xml.etree.ElementTree import Element

import httpx
from defusedxml import DefusedXmlException, ElementTree

from imsg_contract.wire import Again, Blocked, Receipt, Refused, Sent, Status, Unknown
from imsg_sms.providers import Answer, Push, Reply, Report, Reports, numbers
from imsg_sms.providers.clients import Clients, NoAnswer, NotSent
from imsg_sms.providers.meanings import BEIJING, SERVER_ERROR, TOO_MANY, Meaning, failed, moment, plain
from imsg_sms.providers.meanings import make as make_result
from imsg_sms.receipts import Receipts
from imsg_sms.settings import Computed, Each, Http, HttpReceipts, Sms
from imsg_sms.templates import Book, Message, describe_text

NAME = "http"
OK = 200
MAX_DETAIL = 300

NOTHING = Message("", {}, "")
"""What a call that sends nothing is filled in with."""

_PLACE = re.compile(r"\{(\w+)\}")


def make(sms: Sms, clients: Clients, receipts: Receipts, public_url: str = "") -> "HttpProvider | None":
    """Make the provider; None where nothing of it is described."""
    del receipts, public_url
    if sms.http is None:
        return None
    book = describe_text(NAME, sms.templates, signature=sms.http.signature, suffix=sms.http.suffix)
    return HttpProvider(sms.http, clients, book)


_RESULTS: Mapping[str, type[Refused | Again | Blocked | Unknown]] = {
    "refused": Refused,
    "again": Again,
    "blocked": Blocked,
    "unknown": Unknown,
}


class HttpProvider:
    """The provider. It can't be asked what became of a message."""

    name = NAME
    is_mixing = True
    takes_text = True
    garbled = Reply("not a report", 400, "text/plain")
    lost = Reply("not kept, please repeat", 503, "text/plain")

    def __init__(self, settings: Http, clients: Clients, book: Book, now: Callable[[], float] = time.time) -> None:
        self._book = book
        self.limits = book.limits
        self._settings = settings
        self._clients = clients
        self._now = now
        self.most = settings.numbers
        self.secret = settings.hook
        self.pulls = settings.pull is not None
        self.kept = Reply(settings.receipts.answer if settings.receipts else "")
        self._secrets = {name: value.get_secret_value() for name, value in settings.secrets.items()}
        kind = next((value for name, value in settings.headers.items() if name.lower() == "content-type"), "")
        self._kind = kind or _guess(settings.body)

    async def send(self, message: Message, numbers_: Sequence[str], reference: str) -> Answer:
        """Make the call that the description makes of this message."""
        values = self._values(message, numbers_, reference)
        described, charset = self._settings, self._settings.charset
        try:
            url = fill(described.url, values, lambda value: _in_url(value, charset))
            headers = {name: fill(value, values, _in_header) for name, value in described.headers.items()}
            body = fill(described.body, values, _encoder(self._kind, charset)).encode(charset)
        except UnicodeEncodeError as error:
            detail = f"{error.object[error.start : error.end]} can't be written in {charset}."
            return Answer(Refused(NAME, "charset", detail), concerns="content")
        headers |= self._login(values)
        content = None
        if body:
            headers = {"content-type": self._kind, **{name.lower(): value for name, value in headers.items()}}
            content = base64.b64encode(body) if described.wrap else body
        try:
            answer = await self._clients.call(described.method, url, headers, content)
        except (NotSent, NoAnswer) as error:
            return failed(NAME, error)
        return self._meant(answer, numbers_, values["template"])

    def read(self, push: Push) -> Reports | None:
        """Read a push as the description says; only its secret path keeps others away."""
        described = self._settings.receipts
        said = None if described is None else _read_push(described, push)
        return None if described is None or said is None else self._read_entries(described, said)

    async def pull(self) -> Reports:
        """Fetch the next receipts. Raises NotSent, NoAnswer."""
        pulling, receipts, charset = self._settings.pull, self._settings.receipts, self._settings.charset
        if pulling is None or receipts is None:
            return Reports(())
        values, kind = self._values(NOTHING, (), ""), _guess(pulling.body)
        body = fill(pulling.body, values, _encoder(kind, charset)).encode(charset)
        url = fill(pulling.url, values, lambda value: _in_url(value, charset))
        headers = {"content-type": kind, **self._login(values)} if body else self._login(values)
        answer = await self._clients.call(pulling.method, url, headers, body or None)
        text = answer.content.decode(charset, "replace")
        said = _parse(text)
        if not is_success(pulling.success, answer.status_code, said, text):
            raise NoAnswer(f"{answer.status_code}: {text[:MAX_DETAIL]}")
        return self._read_entries(receipts, (at(said, receipts.list) if receipts.list else said) or [])

    def _read_entries(self, described: HttpReceipts, said: object) -> Reports:
        entries = said if isinstance(said, list) else [said]
        now = datetime.fromtimestamp(self._now(), UTC)
        read = [report for entry in entries if (report := _read_receipt(described, entry, now)) is not None]
        return Reports(read, len(entries) - len(read))

    def _login(self, values: Mapping[str, str]) -> dict[str, str]:
        """Make the header of Basic where it is described."""
        if not self._settings.basic:
            return {}
        login = fill(self._settings.basic, values, str).encode()
        return {"authorization": f"Basic {base64.b64encode(login).decode()}"}

    def _values(self, message: Message, numbers_: Sequence[str], reference: str) -> dict[str, str]:
        """Say what stands for each placeholder; what is computed may use what came before."""
        used, now = self._book.find(message), self._now()
        join = self._settings.separator.join
        values = {
            **self._secrets,
            "number": join(numbers_),
            "digits": join(number.removeprefix("+") for number in numbers_),
            "national": join(number.removeprefix("+86").removeprefix("+") for number in numbers_),
            "international": join(f"00{number.removeprefix('+')}" for number in numbers_),
            "text": f"{used.signature}{used.text}",
            "template": used.id,
            "params": json.dumps(dict(used.params), ensure_ascii=False, separators=(",", ":")),
            "params_list": json.dumps(list(used.params.values()), ensure_ascii=False, separators=(",", ":")),
            "reference": reference,
            "time": str(int(now)),
            "time_ms": str(int(now * 1_000)),
            "stamp": f"{datetime.fromtimestamp(now, BEIJING):%Y%m%d%H%M%S}",
            "nonce": token_hex(16),
        }
        for name, one in self._settings.computed.items():
            values[name] = compute(one, values, self._settings.charset)
        return values

    def _meant(self, answer: httpx.Response, numbers_: Sequence[str], template: str) -> Answer:
        described = self._settings
        text = answer.text if described.charset == "utf-8" else answer.content.decode(described.charset, "replace")
        body, said = _parse(text), text[:MAX_DETAIL]
        if described.each is not None and isinstance(found := at(body, described.each.list), list):
            return self._read_each(described.each, found, numbers_, template)
        code = text.strip() if described.code == "text" else at(body, described.code) if described.code else None
        if code is not None and str(code) in described.errors:
            return self._judge(code, template, said)
        if (by_status := _of_status(answer.status_code, said)) is not None:
            return by_status
        if is_success(described.success, answer.status_code, body, text):
            identity = at(body, described.id) if described.id else None
            return Answer(Sent(NAME, None if identity is None else str(identity), said))
        return self._refusal(answer.status_code, body, code, template, said)

    def _refusal(self, status: int, body: object, code: object, template: str, said: str) -> Answer:
        rule = self._settings.success
        if status == OK and body is None and "=" in rule and not _is_of_text(rule):
            return Answer(Unknown(NAME, "unreadable", said), concerns="provider")
        if code is not None and "*" in self._settings.errors:
            return self._judge(code, template, said)
        return Answer(Refused(NAME, f"http_{status}", said), concerns="content", of_one=True)

    def _read_each(self, each: Each, found: Sequence[Any], numbers_: Sequence[str], template: str) -> Answer:
        answers: dict[str, Answer] = {}
        for number, by_place in zip(numbers_, found, strict=False):
            entry = next((one for one in found if numbers.read(str(at(one, each.number) or "")) == number), by_place)
            code, said = at(entry, each.code), json.dumps(entry, ensure_ascii=False)[:MAX_DETAIL]
            if str(code) == each.success:
                identity = at(entry, each.id) if each.id else None
                answers[number] = Answer(Sent(NAME, None if identity is None else str(identity), said))
                continue
            answer = self._judge(code, template, said)
            answers[number] = Answer(answer.result, answer.concerns)
        return Answer(Unknown(NAME, "not_answered", "The provider said nothing of this number."), each=answers)

    def _judge(self, code: object, template: str, said: str) -> Answer:
        """Say what a code means by the description; a refusal for good where it says nothing of it."""
        errors = self._settings.errors
        one = errors.get(str(code), errors.get("*"))
        if one is None:
            return Answer(Refused(NAME, str(code), said), concerns="content")
        detail = said if str(code) in errors else f"(an unlisted code) {said}"
        meaning = Meaning(_RESULTS[one.result], one.concerns, one.after_s, one.of_one)
        result = make_result(NAME, meaning, str(code), detail, now=self._now(), about=template)
        return Answer(result, concerns=one.concerns, of_one=one.of_one)


def _of_status(status: int, said: str) -> Answer | None:
    """Judge an answer by its status alone; None where that says nothing yet."""
    if status >= SERVER_ERROR:
        return Answer(Unknown(NAME, f"http_{status}", said), concerns="provider")
    if status == TOO_MANY:
        return Answer(Again(NAME, f"http_{status}", said), concerns="provider")
    return None


def compute(one: Computed, values: Mapping[str, str], charset: str = "utf-8") -> str:
    """Compute a placeholder from those before it."""
    text = fill(one.of, values, str).encode(charset, "replace")
    kind, _, algorithm = one.by.rpartition("-")
    if one.by == "plain":
        digest = text
    elif kind == "hmac":
        digest = hmac.digest(fill(one.key, values, str).encode(charset, "replace"), text, algorithm)
    else:
        digest = hashlib.new(algorithm, text, usedforsecurity=False).digest()
    if one.form == "base64":
        return base64.b64encode(digest).decode()
    return digest.hex().upper() if one.form == "HEX" else digest.hex()


def _parse(text: str) -> Any:  # noqa: ANN401  any JSON
    """Read an answer as JSON, or XML as nested objects; None where it is neither."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        pass
    if not text.lstrip().startswith("<"):
        return None
    try:
        return _flatten(ElementTree.fromstring(text.strip()))
    except (ElementTree.ParseError, DefusedXmlException, ValueError, RecursionError):
        return None


def _flatten(element: Element) -> Any:  # noqa: ANN401  text, or a mapping of more
    children = list(element)
    if not children:
        return (element.text or "").strip()
    found: dict[str, Any] = {}
    for child in children:
        name, value = child.tag.rpartition("}")[2], _flatten(child)
        if name in found:
            found[name] = [*(found[name] if isinstance(found[name], list) else [found[name]]), value]
        else:
            found[name] = value
    return found


def _read_push(described: HttpReceipts, push: Push) -> Any:  # noqa: ANN401  any JSON
    """Find the entries of a push; None where there are none."""
    text = push.body.decode("utf-8", "replace")
    if described.format == "json":
        said = _parse(text)
    else:
        said = dict(parse_qsl(urlsplit(push.url).query if described.format == "query" else text))
        if described.field:
            said = _parse(said.get(described.field, ""))
    return at(said, described.list) if described.list else said or None


def _read_receipt(described: HttpReceipts, entry: object, now: datetime) -> Report | None:
    identity, number = at(entry, described.id), at(entry, described.number)
    address = numbers.read(str(number)) if number else None
    status = at(entry, described.status)
    if not isinstance(identity, str | int) or not str(identity) or address is None or status is None:
        return None
    is_delivered = str(status) in described.delivered
    detail = at(entry, described.detail) if described.detail else None
    receipt = Receipt(
        provider=NAME,
        provider_id=plain(identity),
        address=address,
        status=Status.DELIVERED if is_delivered else Status.FAILED,
        code=plain(status),
        detail=plain(detail) if detail else None,
        at=(moment(str(at(entry, described.time) or "")) if described.time else None) or now,
    )
    return Report(receipt)


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


def _encoder(kind: str, charset: str = "utf-8") -> Callable[[str], str]:
    if "json" in kind:
        return _in_json
    if "form" in kind:
        return lambda value: _in_url(value, charset)
    return _in_xml if "xml" in kind else str


def _in_json(value: str) -> str:
    """Write a value for inside a JSON string: the description has the quotes."""
    return json.dumps(value, ensure_ascii=False)[1:-1]


def _in_url(value: str, charset: str = "utf-8") -> str:
    return quote(value.encode(charset), safe="")


def _in_xml(value: str) -> str:
    for letter, entity in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ('"', "&quot;")):
        value = value.replace(letter, entity)
    return value


def _in_header(value: str) -> str:
    """Write a value for a header: line ends would begin another, and headers are ASCII."""
    return value if value.isascii() and value.isprintable() else quote(value, safe=" ")
