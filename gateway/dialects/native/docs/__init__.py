"""How the native API is described: bodies of requests and answers, routes."""
