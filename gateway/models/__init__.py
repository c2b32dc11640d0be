"""Loading and deleting models at run time, by administrators."""
