"""The public JSON APIs, one folder each; `table` lists them."""
