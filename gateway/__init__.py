"""The gateway: the only room that speaks HTTP. Many dialects become one canonical request, which it conducts."""
