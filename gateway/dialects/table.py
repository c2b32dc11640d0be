"""The dialects, each in a file of its own. To add one: write its file and add its line here."""

from collections.abc import Callable

from gateway.bootstrap import Gateway
from gateway.dialects.common.dialect import Dialect
from gateway.dialects.enterprise.dialect import Enterprise
from gateway.dialects.huggingface.dialect import HuggingFace
from gateway.dialects.native.dialect import Native
from gateway.dialects.scenario.dialect import Scenario

DIALECTS: tuple[Callable[[Gateway], Dialect], ...] = (Native, HuggingFace, Enterprise, Scenario)
