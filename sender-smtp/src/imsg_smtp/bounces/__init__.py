"""The mail's way back: what mail servers say after they took a message, by three ways in (ADR 44)."""
