"""Ways to walk from noise to picture: one file a loop, all behind the protocol of `walk.py`."""
