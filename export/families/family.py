"""What the exporter asks of a family of models.

A family is one class in a file of its own here, one row of `export.families.table`, and its facts in `families/`.
Methods that need torch import it themselves: a refusal, and a run that has nothing to do, must not wait for it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from export import tokens
from export.families.checks import Check
from export.parts import Modules, Part, Source
from families import graphs as names
from families.defaults import Defaults
from families.facts import Encoder, ModelFacts, Net
from families.tensors import Part as Graph

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True, slots=True)
class Row:
    """A graph to make: the module to trace and the computation it is held against."""

    part: Graph
    module: nn.Module
    reference: Callable[..., Any]


class ExportFamily(ABC):
    """A family: the sources that it takes, and the graphs that it makes of them."""

    name: ClassVar[str]
    """Its row in `families.table`."""
    shape: ClassVar[str]
    """What its configurations are called in refusals, such as `SD1.5-shaped`."""
    expected: ClassVar[str]
    """A sentence that says what a source must be."""
    pipelines: ClassVar[frozenset[str]]
    """`_class_name` of model_index.json."""
    schedulers: ClassVar[frozenset[str]]
    """`_class_name` of scheduler_config.json."""
    scheduler_checks: ClassVar[Mapping[str, Check]]
    parts: ClassVar[Mapping[str, str]]
    """Sub-folder of the source -> the only class that it may name."""
    tokenizers: ClassVar[tuple[str, ...]]
    """Sub-folders with a tokenizer, in the order of the encoders that read them."""
    controlnets: ClassVar[frozenset[str]]
    """Classes of its ControlNets."""
    settings: ClassVar[Mapping[str, Mapping[str, Check]]]
    """Class -> setting -> check of its value. A missing setting has the library's default, which is valid, except for
    those in `required`."""
    required: ClassVar[Mapping[str, frozenset[str]]]

    @abstractmethod
    def check(self, source: Source) -> None:
        """Raise SourceRefused if parts of `source` do not belong together."""

    @abstractmethod
    def check_net(self, config: Mapping[str, Any], source: Source, name: str) -> None:
        """Raise SourceRefused if the ControlNet `name` with this configuration belongs to another model."""

    @abstractmethod
    def check_fit(self, config: Mapping[str, Any], facts: ModelFacts, label: str) -> None:
        """Raise Misfit if a ControlNet, called `label`, does not fit the exported model of `facts`."""

    @abstractmethod
    def facts(self, source: Source, name: str) -> ModelFacts:
        """The facts of a model. Raises SourceRefused for an unusable tokenizer, ValueError for facts that are none."""

    def suited(self, source: Source) -> Defaults:
        """Settings that the source's own configurations show to suit it; none, unless the family says otherwise."""
        return Defaults()

    @abstractmethod
    def net(self, part: Part, name: str) -> Net:
        """The facts of a ControlNet that is called `name` in requests."""

    def write_tokenizer(self, folder: Path, target: Path, encoder: Encoder) -> None:
        """Write the tokenizer in `folder` as the one file that serving reads; CLIP's, unless the family says otherwise.

        Raises SourceRefused for one that is no such tokenizer, Mismatch for one that reads otherwise.
        """
        tokens.write(folder, target, tokens.special_ids(folder))

    def load(self, source: Source) -> Modules:
        """Load the torch modules. Raises SourceRefused for weights that are not those of the configuration."""
        from export import load

        with load.quietly():
            return Modules(
                parts=self.load_parts(source.parts),
                controlnets={kind: self.load_net(part, kind) for kind, part in source.controlnets.items()},
            )

    @abstractmethod
    def load_parts(self, parts: Mapping[str, Part]) -> dict[str, Any]:
        """Load the parts but for ControlNets; raises as `load`."""

    def load_net(self, part: Part, name: str) -> Any:
        """Load one ControlNet; raises as `load`."""
        from export import load

        with load.quietly():
            return load.diffusers_model(self.net_class(part), part, f"controlnet {name}")

    @abstractmethod
    def net_class(self, part: Part) -> Any:
        """diffusers' class of a ControlNet."""

    def rows(self, facts: ModelFacts, modules: Modules) -> list[Row]:
        """Every graph of the model, in the order in which they are made."""
        from export.graphs import residuals, vae

        m, pictures, part = facts.name, modules.parts["vae"], partial(names.part, facts)
        without, add, decoder = self.no_control(facts, modules), residuals.AddResiduals(), vae.Decoder(pictures)
        return [
            self.text_row(facts, modules),
            *(self.net_row(facts, net, modules.controlnets[net.name]) for net in facts.nets),
            Row(part(names.no_control(m)), without, without),
            Row(part(names.add_residuals(m)), add, add),
            self.denoiser_row(facts, modules),
            Row(part(names.vae_decoder(m)), decoder, decoder),
            Row(part(names.vae_encoder(m)), vae.Encoder(pictures), partial(vae.reference_posterior, pictures)),
        ]

    @abstractmethod
    def text_row(self, facts: ModelFacts, modules: Modules) -> Row:
        """The graph of the text encoders."""

    @abstractmethod
    def no_control(self, facts: ModelFacts, modules: Modules) -> nn.Module:
        """A module that makes the residuals of a step without a control: zeros."""

    @abstractmethod
    def denoiser_row(self, facts: ModelFacts, modules: Modules) -> Row:
        """The graph of what predicts noise, or velocity."""

    @abstractmethod
    def net_row(self, facts: ModelFacts, net: Net, module: Any) -> Row:
        """The graph of one ControlNet."""

    @abstractmethod
    def step(self, facts: ModelFacts, modules: Modules, nets: Sequence[str], inputs: Mapping[str, Tensor]) -> Tensor:
        """One guided denoising step by diffusers' own classes, with `nets` (sorted, may repeat).

        inputs: by the names of `families.graphs.step_inputs`; returns the prediction FP32 [B, channels, h, w].
        """

    @abstractmethod
    def written_for_graphs(self, module: nn.Module) -> AbstractContextManager[None]:
        """Within it, layers of `module` that a tracer writes badly are written otherwise, with the same results."""
