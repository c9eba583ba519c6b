"""Layers whose derivatives of every order are fast and exact; what checks and converts nets."""
