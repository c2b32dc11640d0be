"""Files: stored pictures, their records, signed links, uploads, owners' own storages."""
