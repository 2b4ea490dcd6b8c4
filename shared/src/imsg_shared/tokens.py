"""The token's form and its MAC: standard base64 of `NONCE:EXPIRY:USERNAME:MAC` (interface document, section 2)."""
