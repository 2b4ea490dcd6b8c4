"""What the send form knows without a browser: recipients, files of them, segments, lines to copy, progress."""
