"""The frame of a service: settings, lifecycle, HTTP, health, logs, Redis, calls between services."""
