"""Commands of the gateway other than serving."""
