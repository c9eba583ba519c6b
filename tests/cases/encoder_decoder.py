"""Build the encoder-decoder with short codes."""

SMALL = {"width": 8, "terms": 5}
