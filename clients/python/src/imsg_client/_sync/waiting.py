"""Locks and sleep; `_async/waiting.py` is its counterpart."""

import threading
import time

Lock = threading.Lock
sleep = time.sleep
