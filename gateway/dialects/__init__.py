"""The public JSON APIs, called dialects: one package each; `table` lists them."""
