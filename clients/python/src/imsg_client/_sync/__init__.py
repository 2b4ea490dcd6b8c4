"""The synchronous client; written from `_async` (make generate), but for `waiting`."""
