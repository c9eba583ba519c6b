"""Learners behind a local web server."""
