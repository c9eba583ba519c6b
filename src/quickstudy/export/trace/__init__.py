"""Capture a learner as graphs of tensor operations."""
