"""Whether what a person writes back asks for no more messages, or for messages again."""

import unicodedata
from collections.abc import Iterable

WORDS = ("退订", "TD", "T", "N", "R", "拒收", "STOP", "UNSUBSCRIBE")
"""What senders in mainland China tell people to reply with, and what carriers elsewhere listen to."""

BACK = ("START", "UNSTOP", "恢复", "恢复订阅")
"""What takes it back: Twilio's words but YES, which people answer to much else, and what is written in Chinese."""

SHORT = 6
"""Characters of a reply that may say a little beside a Chinese word (退订谢谢); more may be a question about it."""


def is_opt_out(text: str, words: Iterable[str] = WORDS) -> bool:
    """Tell whether a reply is one of these words, whatever its case, width, spaces and punctuation.

    Of 回复TD退订 people also write the whole: 回复 and 回 before a word are left out.
    """
    said = _say(text)
    for word in map(_bare, words):
        if said == word:
            return True
        if not word.isascii() and len(said) <= SHORT and said.startswith(word):
            return True
    return False


def is_opt_in(text: str, words: Iterable[str] = BACK) -> bool:
    """Tell whether a reply is one of these words, and says nothing beside: 恢复了吗 is a question."""
    return _say(text) in map(_bare, words)


def _say(text: str) -> str:
    said = _bare(text)
    for begin in ("回复", "回"):
        said = said.removeprefix(begin)
    return said


def _bare(text: str) -> str:
    """Write a text in one case and width, letters and digits alone."""
    return "".join(letter for letter in unicodedata.normalize("NFKC", text).casefold() if letter.isalnum())
