"""The asynchronous client; `_sync` is written from it (make generate)."""
