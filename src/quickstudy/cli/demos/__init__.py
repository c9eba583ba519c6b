"""Demos by the kind of data that they show; each file is one, and defines `DEMO`."""
