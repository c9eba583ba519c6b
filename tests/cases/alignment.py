"""Build alignment with few anchors and steps."""

SMALL = {"anchors": 7, "align_steps": 3}
