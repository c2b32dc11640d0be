"""The Scenario dialect: Scenario's API."""
