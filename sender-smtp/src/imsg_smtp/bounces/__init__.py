"""Bounces: what mail servers report after they accepted a message, received from three sources (ADR 44)."""
