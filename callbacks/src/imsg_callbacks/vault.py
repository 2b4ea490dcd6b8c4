"""What is kept encrypted: endpoints' secrets; and cursors, which tell nobody how much others send.

`IMSG_SECRET_KEY` is a list: the first encrypts, all decrypt, so that a key can be changed without a gap.
"""

import base64
import binascii
import hashlib
import secrets
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from pydantic import SecretStr

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM, AESSIV

NONCE_BYTES = 12
NUMBER_BYTES = 8


class Unreadable(Exception):  # noqa: N818  a state of the world
    """None of the keys opens it."""


class Vault:
    """Seals and opens under some keys."""

    def __init__(self, keys: Sequence[SecretStr]) -> None:
        self._secret_keys = [_derive(key.get_secret_value(), "endpoint secrets", 32) for key in keys]
        self._cursor_keys = [_derive(key.get_secret_value(), "event cursors", 64) for key in keys]
        self._marks = [hashlib.sha256(key).hexdigest()[:8] for key in self._secret_keys]

    def seal(self, text: str, owner: str) -> str:
        """Encrypt a text for the row of an owner, under the first key."""
        nonce = secrets.token_bytes(NONCE_BYTES)
        sealed = self._boxes[0].encrypt(nonce, text.encode(), owner.encode())
        return f"{self._marks[0]}.{base64.b64encode(nonce + sealed).decode()}"

    def open(self, sealed: str, owner: str) -> str:
        """Decrypt what was sealed for this owner. Raises Unreadable."""
        from cryptography.exceptions import InvalidTag  # noqa: PLC0415  see _boxes

        _, _, data = sealed.partition(".")
        raw = base64.b64decode(data)
        for box in self._boxes:
            try:
                return box.decrypt(raw[:NONCE_BYTES], raw[NONCE_BYTES:], owner.encode()).decode()
            except InvalidTag:
                continue
        raise Unreadable("IMSG_SECRET_KEY holds none of the keys under which this was kept")

    def is_fresh(self, sealed: str) -> bool:
        """Tell whether a text was sealed under the first key."""
        return sealed.startswith(f"{self._marks[0]}.")

    def write_cursor(self, number: int) -> str:
        """Make the cursor of a place in the log; the same place makes the same one."""
        sealed = self._cursors[0].encrypt(number.to_bytes(NUMBER_BYTES, "big"), None)
        return base64.urlsafe_b64encode(sealed).decode()

    def read_cursor(self, cursor: str) -> int | None:
        """Read a cursor; None where it is none of ours."""
        try:
            sealed = base64.b64decode(cursor, altchars=b"-_", validate=True)
        except (binascii.Error, ValueError):
            return None
        from cryptography.exceptions import InvalidTag  # noqa: PLC0415  see _boxes

        for one in self._cursors:
            try:
                return int.from_bytes(one.decrypt(sealed, None), "big")
            except (InvalidTag, ValueError):
                continue
        return None

    @cached_property
    def _boxes(self) -> "list[AESGCM]":
        # Loaded with the first endpoint or cursor: 8 MiB that nobody needs who is told nothing.
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415

        return [AESGCM(key) for key in self._secret_keys]

    @cached_property
    def _cursors(self) -> "list[AESSIV]":
        from cryptography.hazmat.primitives.ciphers.aead import AESSIV  # noqa: PLC0415  see _boxes

        return [AESSIV(key) for key in self._cursor_keys]


def _derive(key: str, purpose: str, size: int) -> bytes:
    return hashlib.sha512(f"imsg {purpose}\0{key}".encode()).digest()[:size]
