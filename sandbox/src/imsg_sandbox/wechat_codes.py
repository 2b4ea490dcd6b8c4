"""QR codes of an account: what each tells when it is scanned, until it ends."""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from imsg_sandbox.wechat_errors import Refused

LONGEST_S = 2_592_000
DEFAULT_S = 60
"""Where nothing is said: a minute, which is easily forgotten."""

MAX_SCENE = 64
MAX_CODES = 1_000


@dataclass(frozen=True, slots=True)
class Code:
    """One code."""

    scene: str
    ticket: str
    url: str
    """What is drawn."""
    until: float


class Codes:
    """Those of one account."""

    def __init__(self) -> None:
        self._by_url: dict[str, Code] = {}

    def make(self, scene: str, until: float) -> Code:
        """Make a code that lives until then (Unix time); of too many the oldest goes."""
        code = Code(scene, secrets.token_urlsafe(60), f"http://weixin.qq.com/q/02{secrets.token_urlsafe(15)}", until)
        self._by_url[code.url] = code
        if len(self._by_url) > MAX_CODES:
            del self._by_url[next(iter(self._by_url))]
        return code

    def list(self, now: float) -> list[str]:
        """List what is drawn of those that live, the newest last."""
        return [code.url for code in self._by_url.values() if now < code.until]

    def find(self, url: str, now: float) -> Code | None:
        """Find a code that lives."""
        code = self._by_url.get(url)
        return code if code is not None and now < code.until else None


def read_scene(asked: Mapping[str, Any]) -> str:
    """Read what a code is to tell. Raises Refused."""
    if asked.get("action_name") not in ("QR_STR_SCENE", "QR_SCENE"):
        raise Refused(40053)
    info = asked.get("action_info")
    scene = info.get("scene") if isinstance(info, dict) else None
    if not isinstance(scene, dict):
        raise Refused(40053)
    if asked["action_name"] == "QR_SCENE":
        number = scene.get("scene_id")
        if not isinstance(number, int) or isinstance(number, bool) or not 0 < number < 2**32:
            raise Refused(40053)
        return str(number)
    text = scene.get("scene_str")
    if not isinstance(text, str) or not 1 <= len(text) <= MAX_SCENE:
        raise Refused(40053)
    return text


def read_life(asked: Mapping[str, Any]) -> int:
    """Read how many seconds a code is to live. Raises Refused."""
    for_s = asked.get("expire_seconds", DEFAULT_S)
    if not isinstance(for_s, int) or isinstance(for_s, bool) or not 1 <= for_s <= LONGEST_S:
        raise Refused(40053)
    return for_s
