"""`/u/TOKEN`: the recipient of a marketing mail unsubscribes, with one click and without logging in (RFC 8058).

A GET shows a page with a button and changes nothing, since mail scanners follow every link. A POST, by the button or by
the mailbox provider, unsubscribes; to repeat it changes nothing.
"""

import base64
import hashlib
import time
from collections.abc import Sequence
from html import escape

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from imsg_catalog.store import Row
from imsg_catalog.suppressions import Suppressions
from imsg_contract.ids import new_id
from imsg_contract.suppressions import Reason
from imsg_contract.unsubscribing import Subscription, read_token
from imsg_contract.wire import Category
from imsg_database.unavailable import DatabaseUnavailable
from imsg_runtime.logs import QUIET_S, RecurringProblem, logger
from imsg_runtime.redis import RedisRefused, RedisUnavailable
from imsg_web.responses import prefers_english

log = logger(__name__)

STYLE = (
    "body{font:18px/1.6 system-ui,sans-serif;max-width:32rem;margin:15vh auto;padding:0 1.5rem;"
    "color:#222;background:#fff}"
    "button{font:inherit;padding:.6rem 1.6rem;min-height:44px}"
    "@media(prefers-color-scheme:dark){body{color:#eee;background:#1b1b1b}}"
)
_DIGEST = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()

HEADERS = {
    "Content-Security-Policy": (
        f"default-src 'none'; style-src 'sha256-{_DIGEST}'; form-action 'self'; base-uri 'none'; "
        "frame-ancestors 'none'; sandbox allow-forms"
    ),
    "Referrer-Policy": "no-referrer",
    "X-Robots-Tag": "noindex",
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
}

ASK, DONE, GONE, AWAY = "ask", "done", "gone", "away"

TEXTS = {
    "zh": {
        "title": "退订邮件",
        ASK: "确定不再接收发往 {address} 的此类邮件吗？",
        "button": "退订",
        DONE: "已退订：{address} 不会再收到此类邮件。",
        GONE: "这个退订链接不完整或已失效。请从邮件里重新打开，或直接回复发件人。",
        AWAY: "暂时无法处理，请稍后再试一次。",
    },
    "en": {
        "title": "Unsubscribe",
        ASK: "Stop mails of this kind to {address}?",
        "button": "Unsubscribe",
        DONE: "You are unsubscribed: {address} gets no more mails of this kind.",
        GONE: "This link is not whole or no longer valid. Open it from the mail once more, or answer the mail.",
        AWAY: "This can't be done just now; please try again in a moment.",
    },
}

STATUS = {ASK: 200, DONE: 200, GONE: 404, AWAY: 503}


class UnsubscribePages:
    """An ASGI app below `/u`."""

    def __init__(self, suppressions: Suppressions, keys: Sequence[bytes]) -> None:
        self._problem = RecurringProblem(log, "not_unsubscribed", quiet_s=QUIET_S)
        self._suppressions = suppressions
        self._keys = tuple(keys)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        request = Request(scope, receive)
        language = "en" if prefers_english(request.headers.get("accept-language", "")) else "zh"
        subscription = self._open(str(scope["path"]).rpartition("/")[2])
        if subscription is None or request.method not in ("GET", "HEAD", "POST"):
            page = GONE
        elif request.method == "POST":
            page = await self._leave(subscription)
        else:
            page = ASK
        await draw(page, language, subscription.address if subscription else "")(scope, receive, send)

    def _open(self, token: str) -> Subscription | None:
        """Read a token that one of our keys has sealed."""
        sealed = read_token(token)
        for key in self._keys if sealed else ():
            try:
                return Subscription.unpack(AESSIV(key).decrypt(sealed or b"", None))
            except (InvalidTag, ValueError):
                continue
        return None

    async def _leave(self, subscription: Subscription) -> str:
        category = Category(subscription.category) if subscription.category in set(Category) else Category.MARKETING
        now_ms = time.time_ns() // 1_000_000
        row = Row(new_id(), "smtp", subscription.address, Reason.UNSUBSCRIBE, subscription.sender, category, now_ms)
        try:
            new = await self._suppressions.add([row])
        except (DatabaseUnavailable, RedisUnavailable, RedisRefused) as error:
            self._problem.report(error)
            return AWAY
        self._problem.clear()
        log.info("unsubscribed", new=len(new))
        return DONE


def draw(page: str, language: str, address: str) -> Response:
    """Draw a page; all that is not ours in it is text."""
    texts = TEXTS[language]
    sentence = texts[page].format(address=address)
    button = f'<form method="post"><button>{texts["button"]}</button></form>' if page == ASK else ""
    body = (
        f'<!doctype html><html lang="{language}"><head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width"><title>{texts["title"]}</title>'
        f"<style>{STYLE}</style></head>"
        f"<body><main><h1>{texts['title']}</h1><p>{escape(sentence)}</p>{button}</main></body></html>"
    )
    headers = HEADERS | ({"Retry-After": "3"} if page == AWAY else {})
    return Response(body, STATUS[page], headers, "text/html; charset=utf-8")
