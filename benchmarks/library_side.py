"""controlnet_aux's own detectors: the other side of the comparison of hints.

The package's `__init__` imports every detector, with libraries that only some of them need; here a module is imported
without it.
"""

import importlib
import sys
import types
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from typing import Any

NAME = "controlnet_aux"


def module(name: str) -> Any:
    """The library's module `name`, such as "canny". Raises ImportError where the library is not installed."""
    if NAME not in sys.modules:
        spec = find_spec(NAME)
        if spec is None:
            raise ImportError(f"{NAME} is not installed; run `make setup`")
        package = types.ModuleType(NAME)
        package.__path__ = list(spec.submodule_search_locations or ())
        package.__spec__ = ModuleSpec(NAME, None, is_package=True)
        sys.modules[NAME] = package
    return importlib.import_module(f"{NAME}.{name}")
