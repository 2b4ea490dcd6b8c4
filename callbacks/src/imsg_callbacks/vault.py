"""Encrypts endpoints' secrets, and cursors, so that a cursor does not show how many events there are.

`IMSG_SECRET_KEY` is a list: the first key encrypts, all decrypt, so that keys can be rotated.
"""

import base64
import binascii
import hashlib
import secrets
from collections.abc import Sequence

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, AESSIV
from pydantic import SecretStr

NONCE_BYTES = 12
NUMBER_BYTES = 8


class Unreadable(Exception):  # noqa: N818  a state of the world
    """None of the keys decrypts a secret."""


class Vault:
    """Encrypts and decrypts under a list of keys."""

    def __init__(self, keys: Sequence[SecretStr]) -> None:
        secret_keys = [_derive(key.get_secret_value(), "endpoint secrets", 32) for key in keys]
        self._secret_ciphers = [AESGCM(key) for key in secret_keys]
        self._cursor_ciphers = [AESSIV(_derive(key.get_secret_value(), "event cursors", 64)) for key in keys]
        self._marks = [hashlib.sha256(key).hexdigest()[:8] for key in secret_keys]

    def seal(self, text: str, owner: str) -> str:
        """Encrypt a text under the first key; `owner`, the id of its row, is authenticated with it."""
        nonce = secrets.token_bytes(NONCE_BYTES)
        sealed = self._secret_ciphers[0].encrypt(nonce, text.encode(), owner.encode())
        return f"{self._marks[0]}.{base64.b64encode(nonce + sealed).decode()}"

    def open(self, sealed: str, owner: str) -> str:
        """Decrypt a text that was sealed for this owner. Raises Unreadable."""
        _, _, data = sealed.partition(".")
        raw = base64.b64decode(data)
        for cipher in self._secret_ciphers:
            try:
                return cipher.decrypt(raw[:NONCE_BYTES], raw[NONCE_BYTES:], owner.encode()).decode()
            except InvalidTag:
                continue
        raise Unreadable("IMSG_SECRET_KEY holds none of the keys under which this secret was encrypted")

    def is_fresh(self, sealed: str) -> bool:
        """Return whether a text is encrypted under the first key."""
        return sealed.startswith(f"{self._marks[0]}.")

    def write_cursor(self, number: int) -> str:
        """Return the cursor of a number in the log; the same number has the same cursor."""
        sealed = self._cursor_ciphers[0].encrypt(number.to_bytes(NUMBER_BYTES, "big"), None)
        return base64.urlsafe_b64encode(sealed).decode()

    def read_cursor(self, cursor: str) -> int | None:
        """Return the number of a cursor; None if `write_cursor` did not make it."""
        try:
            sealed = base64.b64decode(cursor, altchars=b"-_", validate=True)
        except (binascii.Error, ValueError):
            return None
        for cipher in self._cursor_ciphers:
            try:
                return int.from_bytes(cipher.decrypt(sealed, None), "big")
            except (InvalidTag, ValueError):
                continue
        return None


def _derive(key: str, purpose: str, size: int) -> bytes:
    return hashlib.sha512(f"imsg {purpose}\0{key}".encode()).digest()[:size]
