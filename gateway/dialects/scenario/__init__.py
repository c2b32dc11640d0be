"""Scenario's API."""
