"""The OpenAPI document of the whole API, in English and Chinese."""
