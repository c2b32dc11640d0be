"""The dialects, each in a file of its own. To add one: write its file and add its line here."""

from collections.abc import Callable

from gateway.dialects.dialect import Dialect
from gateway.dialects.enterprise import Enterprise
from gateway.dialects.huggingface import HuggingFace
from gateway.dialects.native import Native
from gateway.dialects.scenario import Scenario
from gateway.parts import Parts

DIALECTS: tuple[Callable[[Parts], Dialect], ...] = (Native, HuggingFace, Enterprise, Scenario)
