"""The shape of a table of answers."""

from collections.abc import Mapping

Table = Mapping[str, tuple[str, str, str]]
"""Code → (what it means in Chinese, in English, the key in texts/answers.py of what to do)."""
