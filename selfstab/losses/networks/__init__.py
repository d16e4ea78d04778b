"""Networks whose derivatives are written out."""
