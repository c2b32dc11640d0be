"""Files: pictures in a store, their records, links, uploads, owners' own storages."""
