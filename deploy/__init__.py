"""Deployment: set-up, checks and the demonstration."""
