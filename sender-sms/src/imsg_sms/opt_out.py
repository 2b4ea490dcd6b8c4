"""Recognizes replies that opt out of messages, or opt in again."""

import unicodedata
from collections.abc import Iterable

OPT_OUT_WORDS = ("退订", "TD", "T", "N", "R", "拒收", "STOP", "UNSUBSCRIBE")
"""The words that senders in mainland China name in their messages, and those that carriers elsewhere recognize."""

OPT_IN_WORDS = ("START", "UNSTOP", "恢复", "恢复订阅")
"""Twilio's opt-in words except YES, which answers many other questions, and Chinese ones."""

MAX_SHORT_REPLY = 6
"""Characters of a reply that may add to a Chinese word (退订谢谢). A longer one may be a question about it."""


def is_opt_out(text: str, words: Iterable[str] = OPT_OUT_WORDS) -> bool:
    """Return whether a reply is one of these words. Case, width, spaces and punctuation are ignored.

    A prefix 回复 or 回 is ignored too: people copy it from 回复TD退订.
    """
    reply = _normalize_reply(text)
    for word in map(_normalize, words):
        if reply == word:
            return True
        if not word.isascii() and len(reply) <= MAX_SHORT_REPLY and reply.startswith(word):
            return True
    return False


def is_opt_in(text: str, words: Iterable[str] = OPT_IN_WORDS) -> bool:
    """Return whether a reply is exactly one of these words: 恢复了吗 is a question."""
    return _normalize_reply(text) in map(_normalize, words)


def _normalize_reply(text: str) -> str:
    reply = _normalize(text)
    for prefix in ("回复", "回"):
        reply = reply.removeprefix(prefix)
    return reply


def _normalize(text: str) -> str:
    """Return the letters and digits of a text, in one case and width."""
    return "".join(letter for letter in unicodedata.normalize("NFKC", text).casefold() if letter.isalnum())
