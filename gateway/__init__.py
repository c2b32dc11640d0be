"""The gateway: the only HTTP service. It translates several JSON APIs to one canonical request and runs it."""
