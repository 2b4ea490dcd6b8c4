"""What every HTTP service shares: its FastAPI app, error responses, service keys and limits on requests."""
