"""The dialect interface, and code shared by several dialects."""
