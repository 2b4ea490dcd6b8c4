"""What every HTTP service shares: the FastAPI app, errors as answers, and who may call."""
