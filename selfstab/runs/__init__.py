"""One run of a loss."""
