"""The HTTP application: routes that belong to no dialect, middleware, stored files, API documents."""
