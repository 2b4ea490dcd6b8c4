"""Cuts a text into addresses, mistyped ones, and the words beside them."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from imsg_channels import BY_NAME
from imsg_console.recipients.classify_recipient import is_address, is_intended, normalize, rewrite, strip_invisible

MAX_LABEL_CHARACTERS = 120


@dataclass(frozen=True, slots=True)
class Token:
    """One thing between separators."""

    text: str
    is_address: bool = False
    is_intended: bool = False
    """Whether it is an address, or a mistyped one."""
    label: str = ""
    column: int = 0
    is_apart: bool = False
    """Whether it is part of a list in a cell with an address: then it is a recipient itself, and no label."""


def list_texts(tokens: Iterable[Token]) -> list[str]:
    """Return the texts of tokens."""
    return [token.text for token in tokens]


def join_label(texts: Iterable[str]) -> str:
    """Join the texts beside an address to its label."""
    return " ".join(text for part in texts if (text := strip_invisible(part)))[:MAX_LABEL_CHARACTERS]


def read_tokens(text: str, column: int, method: str, *, has_columns: bool) -> list[Token]:
    """Read a cell, or a line without cells: the tokens of its `column`, from 0."""
    tokens = [token for piece in _split(text) for token in _read_piece(piece, method)]
    is_list = has_columns and any(token.is_address for token in tokens) and SEPARATOR.search(text) is not None
    return [replace(token, column=column, is_apart=is_list and not token.is_intended) for token in tokens]


_MARK = re.compile('[,;，；、|\t\v\f<＜>＞"]')
SEPARATOR = re.compile("[,;，；、|]")
_CLOSED = re.compile(r"[ \t\u00a0]*(?:[<＜,;，；、|\t\r\n]|$)")
"""What a quotation is followed by: nothing else makes it one."""

_Run = tuple[str, bool]
"""A text, and whether it was in angle brackets."""


def _split(text: str) -> Iterator[list[_Run]]:
    """Cut a line at its separators. Outlook parts people by semicolons, and their names may hold commas."""
    if ";" not in text or "<" not in text or '"' in text:
        yield from _cut_at_every(text)
        return
    for part in text.split(";"):
        name, bracket, address = part.partition("<")
        is_name = "<" not in address and not any(sign.isdecimal() or sign in "@＠" for sign in name)
        yield from _cut_at_every(
            " ".join(name.replace(",", " ").split()) + bracket + address if bracket and is_name else part
        )


def _cut_at_every(text: str) -> Iterator[list[_Run]]:
    """Cut a line at its separators; none counts inside a quoted name, `"Li, Si" <li@example.com>`. One pass."""
    runs: list[_Run] = []
    start, opened, quoted_to, is_unquoted = 0, -1, -1, False
    for mark in _MARK.finditer(text):
        at, sign = mark.start(), mark[0]
        if at < quoted_to:
            continue
        if sign == '"':
            if at == quoted_to or is_unquoted:
                continue
            closing = text.find('"', at + 1)
            is_unquoted = closing < 0  # nor will there be any after it
            if closing > 0 and _holds_together(text, at + 1, closing):
                quoted_to = closing
        elif sign in "<＜":
            opened = at
        elif sign in ">＞":
            if opened >= start:
                runs += [(text[start:opened], False), (text[opened + 1 : at], True)]
                start = at + 1
            opened = -1
        else:
            yield [*runs, (text[start:at], False)]
            runs, start, opened = [], at + 1, -1
    yield [*runs, (text[start:], False)]


def _holds_together(text: str, start: int, end: int) -> bool:
    """Return whether a quoted text is a name, and not a list of addresses."""
    after = _CLOSED.match(text, end + 1)
    if after is None:
        return False
    return after[0][-1:] in ("<", "＜") or not any(sign.isdecimal() or sign in "@＠" for sign in text[start:end])


def _read_piece(runs: Sequence[_Run], method: str) -> Iterator[Token]:
    """Read the text between two separators: usually one recipient, several where blanks separate them."""
    name: list[str] = []
    last: Token | None = None
    for number, (text, is_bracketed) in enumerate(runs):
        if is_bracketed:
            inner = list(_read_words(text.replace("mailto:", " ", 1), method))
            for token in inner or map(Token, name or ["<>"]):
                if last is not None:
                    yield last
                last = replace(token, label=join_label(name) or token.label) if inner else token
            name = []
            continue
        words = list(_read_words(text, method))
        if number + 1 < len(runs):  # a bracket follows: the words before it are its name
            cut = max((at + 1 for at, word in enumerate(words) if word.is_intended), default=0)
            name = [word.text for word in words[cut:]]
            words = words[:cut]
        elif last is not None and last.is_address and not last.label and not any(word.is_intended for word in words):
            last, words = replace(last, label=join_label(list_texts(words))), []
        if words and last is not None:
            yield last
            last = None
        yield from words
    if last is not None:
        yield last


_EDGES = " \t\"'“”‘’「」<>＜＞"

_PARTS = {
    "smtp": re.compile(r"[A-Za-z0-9!#$%&'*+=?^_`{}~.@-]+"),
    "sms": re.compile(r"[0-9+.·-]+"),
    "wechat": re.compile(r"[0-9A-Za-z-]+"),
}

_NAME = re.compile(r"[0-9A-Za-z_-]+")
"""What an address that sticks to other letters is made of: one class each, so that nothing is looked at twice."""

_NUMERIC = re.compile(r"[0-9+().·-]+")


def _read_words(text: str, method: str) -> Iterator[Token]:
    """Read a text without separators other than blanks."""
    bare = strip_invisible(strip_invisible(text).strip(_EDGES))
    if not bare:
        if "<" in text or "＜" in text:
            yield Token(text.strip())
        return
    if (address := rewrite(bare, method)) is not None:
        yield Token(address, is_address=True, is_intended=True)
        return
    words = [word for piece in bare.split() if (word := strip_invisible(piece.strip(_EDGES)))]
    tokens = [token for number in _join_numbers(words, method) for token in _read_word(number, method)]
    if any(token.is_intended for token in tokens):
        yield from tokens
    else:
        yield Token(bare)


def _read_word(word: str, method: str) -> list[Token]:
    """Read a word: an address, one that sticks to a name (`张三：13800138000`), or anything else."""
    if (address := rewrite(word, method)) is not None:
        return [Token(address, is_address=True, is_intended=True)]
    plain = normalize(word)
    parts = [(part.start(), part.end(), part[0].strip("-.")) for part in _PARTS.get(method, _NAME).finditer(plain)]
    whole = [part for part in parts if _is_separate(plain, part[0], part[1]) and is_address(part[2], method)]
    if not whole:
        return [Token(word, is_intended=is_intended(word, method))]
    starts, ends = [0, *(end for _, end, _ in whole)], [*(start for start, _, _ in whole), len(plain)]
    rest = " ".join(plain[start:end] for start, end in zip(starts, ends, strict=True))
    if is_intended(rest.strip(), method):  # who knows which was wanted
        return [Token(word, is_intended=True)]
    label = join_label(part.strip(":：()（）/\\-—=[]【】") for part in rest.split())
    return [
        Token(rewrite(text, method) or text, is_address=True, is_intended=True, label=label) for _, _, text in whole
    ]


def _is_separate(text: str, start: int, end: int) -> bool:
    before, after = text[start - 1 : start], text[end : end + 1]
    return not any(sign.isascii() and (sign.isalnum() or sign in "@_") for sign in (before, after) if sign)


def _join_numbers(words: Sequence[str], method: str) -> list[str]:
    """Return the words, with phone numbers joined that blanks split: `张三 138 0013 8000`."""
    if not BY_NAME[method].address.is_dialled:
        return list(words)
    joined: list[str] = []
    run: list[str] = []
    for word in (*words, ""):
        if word and _NUMERIC.fullmatch(normalize(word)):
            run.append(word)
            continue
        joined += _split_numbers(run, method)
        run = []
        if word:
            joined.append(word)
    return joined


MAX_PHONE_WORDS = 8
"""Blanks inside a number: +1 415 555 01 00 has four."""


def _split_numbers(run: Sequence[str], method: str) -> Iterator[str]:
    """Cut a run of digits into numbers, each as long as it can be."""
    at = 0
    while at < len(run):
        max_words = next(
            (n for n in range(1, MAX_PHONE_WORDS) if run[at + n : at + n + 1] and "+" in run[at + n]), len(run)
        )
        for count in range(min(max_words, MAX_PHONE_WORDS, len(run) - at), 0, -1):
            if count == 1 or is_address(" ".join(run[at : at + count]), method):
                yield " ".join(run[at : at + count])
                at += count
                break
