"""OpenAPI documentation of the native API: schemas of requests and answers, routes."""
