"""The QR codes of an account: each has a scene and a lifetime."""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from imsg_sandbox.wechat_errors import Refused

MAX_S = 2_592_000
DEFAULT_S = 60
"""WeChat's default: one minute."""

MAX_SCENE = 64
MAX_CODES = 1_000


@dataclass(frozen=True, slots=True)
class Code:
    """A QR code with its scene."""

    scene: str
    ticket: str
    url: str
    """The text in the code."""
    until: float


class Codes:
    """The codes of one account."""

    def __init__(self) -> None:
        self._by_url: dict[str, Code] = {}

    def make(self, scene: str, until: float) -> Code:
        """Make a code that is valid until then (Unix time); of too many the oldest is removed."""
        code = Code(scene, secrets.token_urlsafe(60), f"http://weixin.qq.com/q/02{secrets.token_urlsafe(15)}", until)
        self._by_url[code.url] = code
        if len(self._by_url) > MAX_CODES:
            del self._by_url[next(iter(self._by_url))]
        return code

    def list(self, now: float) -> list[str]:
        """List the URLs of valid codes, the newest last."""
        return [code.url for code in self._by_url.values() if now < code.until]

    def find(self, url: str, now: float) -> Code | None:
        """Return a valid code by its URL."""
        code = self._by_url.get(url)
        return code if code is not None and now < code.until else None


def read_scene(body: Mapping[str, Any]) -> str:
    """Read the scene of a code. Raises Refused."""
    if body.get("action_name") not in ("QR_STR_SCENE", "QR_SCENE"):
        raise Refused(40053)
    info = body.get("action_info")
    scene = info.get("scene") if isinstance(info, dict) else None
    if not isinstance(scene, dict):
        raise Refused(40053)
    if body["action_name"] == "QR_SCENE":
        number = scene.get("scene_id")
        if not isinstance(number, int) or isinstance(number, bool) or not 0 < number < 2**32:
            raise Refused(40053)
        return str(number)
    text = scene.get("scene_str")
    if not isinstance(text, str) or not 1 <= len(text) <= MAX_SCENE:
        raise Refused(40053)
    return text


def read_life(body: Mapping[str, Any]) -> int:
    """Read the lifetime of a code in seconds. Raises Refused."""
    for_s = body.get("expire_seconds", DEFAULT_S)
    if not isinstance(for_s, int) or isinstance(for_s, bool) or not 1 <= for_s <= MAX_S:
        raise Refused(40053)
    return for_s
