"""The computations of UNet families as torch modules with the signatures of `families.graphs`, one file a kind.

Each file holds a module to be traced and the same computation by diffusers' or transformers' own forward pass
(`reference`), which the traced graph is compared with.
"""
