"""The frame of a process: settings, logs, watchdog, leases, the connection to Redis."""
