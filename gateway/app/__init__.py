"""The HTTP application: routes of no dialect, middleware, stored files, API documentation."""
