"""Locks and sleep; `_sync/waiting.py` is its counterpart, written by hand."""

import asyncio

Lock = asyncio.Lock
sleep = asyncio.sleep
