"""Seals texts under a list of keys: the first key seals, all open."""

import base64
import hashlib
import secrets
from collections.abc import Sequence

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from pydantic import SecretStr

NONCE_BYTES = 12


class Sealer:
    """Seals texts for one purpose, by AES-GCM; a text that was sealed for another purpose or owner is not opened."""

    def __init__(self, keys: Sequence[SecretStr], purpose: str) -> None:
        self._ciphers = [AESGCM(_derive(key, purpose)) for key in keys]

    def seal(self, text: str, owner: str) -> str:
        """Seal a text under the first key; `owner` names what it belongs to, and is authenticated with it."""
        nonce = secrets.token_bytes(NONCE_BYTES)
        return base64.b64encode(nonce + self._ciphers[0].encrypt(nonce, text.encode(), owner.encode())).decode()

    def open(self, sealed: str, owner: str) -> str | None:
        """Open what was sealed for an owner; None where none of the keys fits."""
        return next((text for cipher in self._ciphers if (text := _decrypt(cipher, sealed, owner)) is not None), None)

    def is_fresh(self, sealed: str, owner: str) -> bool:
        """Return whether a text is sealed under the first key."""
        return _decrypt(self._ciphers[0], sealed, owner) is not None


def _decrypt(cipher: AESGCM, sealed: str, owner: str) -> str | None:
    raw = base64.b64decode(sealed)
    try:
        return cipher.decrypt(raw[:NONCE_BYTES], raw[NONCE_BYTES:], owner.encode()).decode()
    except InvalidTag:
        return None


def _derive(key: SecretStr, purpose: str) -> bytes:
    return hashlib.sha512(f"imsg {purpose}\0{key.get_secret_value()}".encode()).digest()[:32]
