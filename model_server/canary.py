"""Check readiness by inference: one tiny real request to every model process, since Triton calls a dead one ready.

`python -m model_server.canary --url HOST:PORT` does it once and exits with status 0 or 1, for Kubernetes probes.
"""

import argparse
import asyncio
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import grpc
from tritonclient.grpc import model_config_pb2, service_pb2, service_pb2_grpc

from families.annotators import list_annotators
from families.graphs import repository_names
from families.manifest import ManifestError, list_manifests
from families.protocols import repository_metadata
from model_server.canary_inputs import Card, canary_request, card_of, incomplete, unsound
from model_server.flags import KeyMissing, read_key

_ANSWER_TIMEOUT_S = 1.25
_LOOK_AGAIN_S = 1.0
_BUSY = (grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.RESOURCE_EXHAUSTED)
_QUEUE_FULL = ("Exceeds maximum queue size", "Request timeout expired")


@dataclass(frozen=True, slots=True)
class Answer:
    """The result of one canary request."""

    fault: str = ""
    """Why the model failed it, in one line; empty if it passed."""
    late: bool = False
    """No answer in time, or a full queue: the model may be dead or only busy."""
    unsound: bool = False
    """The answer is complete but no answer, such as NaN: the model can't serve, and a restart would not mend it."""


@dataclass(frozen=True, slots=True)
class Count:
    """Triton's running totals of one model."""

    answered: int
    failed: int
    executions: int


class Canary:
    """Sends canary requests to one Triton.

    Args:
        url: host:port of its gRPC service.
        cards: of models and annotators, for the sizes of their graphs' inputs.
        timeout_s: timeout of one answer, seconds.
        repository_key: that Triton asks for to list its models; empty: none.
    """

    def __init__(self, url: str, cards: Iterable[Card], timeout_s: float = 10.0, repository_key: str = "") -> None:
        self._channel = grpc.aio.insecure_channel(url, options=[("grpc.max_receive_message_length", 256 << 20)])
        self._stub = service_pb2_grpc.GRPCInferenceServiceStub(self._channel)
        self._cards = tuple(cards)
        self._timeout_s = timeout_s
        self._repository = repository_metadata(repository_key)
        self._configs: dict[str, model_config_pb2.ModelConfig] = {}

    async def close(self) -> None:
        """Close the channel."""
        await self._channel.close()

    async def is_alive(self) -> bool:
        """Whether Triton answers at all, within a little more than a second; it does however much it computes."""
        try:
            await self._stub.ServerLive(service_pb2.ServerLiveRequest(), timeout=_ANSWER_TIMEOUT_S)
        except grpc.aio.AioRpcError:
            return False
        return True

    async def states(self) -> tuple[tuple[str, ...], dict[str, str]]:
        """The models that Triton calls ready, and those that could not be loaded with the reason.

        Raises grpc.aio.AioRpcError if Triton does not answer.
        """
        request = service_pb2.RepositoryIndexRequest()
        index = await self._stub.RepositoryIndex(request, timeout=self._timeout_s, metadata=self._repository)
        ready = tuple(sorted(model.name for model in index.models if model.state == "READY"))
        broken = {
            m.name: m.reason for m in index.models if m.state == "UNAVAILABLE" and m.reason not in ("", "unloaded")
        }
        return ready, broken

    async def config(self, name: str) -> model_config_pb2.ModelConfig:
        """The configuration of a loaded model, cached: a name keeps its tensors for the server's lifetime."""
        if name not in self._configs:
            request = service_pb2.ModelConfigRequest(name=name)
            self._configs[name] = (await self._stub.ModelConfig(request, timeout=self._timeout_s)).config
        return self._configs[name]

    async def counts(self) -> dict[str, Count]:
        """Running totals of each model."""
        request = service_pb2.ModelStatisticsRequest()
        statistics = await self._stub.ModelStatistics(request, timeout=self._timeout_s)
        return {
            one.name: Count(one.inference_stats.success.count, one.inference_stats.fail.count, one.execution_count)
            for one in statistics.model_stats
        }

    async def ask(self, name: str) -> Answer:
        """Send one small request to a model and check the answer."""
        try:
            config = await self.config(name)
            response = await self._stub.ModelInfer(
                canary_request(config, card_of(name, self._cards)), timeout=self._timeout_s
            )
        except grpc.aio.AioRpcError as error:
            said = (error.details() or error.code().name)[:300]
            return Answer(said, late=error.code() in _BUSY or any(words in said for words in _QUEUE_FULL))
        if fault := incomplete(config, response):
            return Answer(fault)
        fault = unsound(config, response)
        return Answer(fault, unsound=bool(fault))


def covering(configs: Mapping[str, model_config_pb2.ModelConfig]) -> dict[str, tuple[str, ...]]:
    """The fewest requests that reach every process: target -> the graphs it reaches.

    An ensemble has no process; a request to it reaches its graphs. The widest ensembles come first, one that would
    reach nothing new is skipped, and graphs in no ensemble get their own request.
    """
    members = {
        name: tuple(sorted({step.model_name for step in config.ensemble_scheduling.step}))
        for name, config in configs.items()
        if config.platform == "ensemble"
    }
    targets: dict[str, tuple[str, ...]] = {}
    reached: set[str] = set()
    for name in sorted(members, key=lambda name: (-len(members[name]), name)):
        if not reached.issuperset(members[name]):
            targets[name] = members[name]
            reached.update(members[name])
    alone = (name for name in sorted(configs) if name not in members and name not in reached)
    return targets | {name: (name,) for name in alone}


async def failing(
    canary: Canary, models: Sequence[str] = (), required: Sequence[str] = (), patience_s: float = 0.0
) -> dict[str, str]:
    """Run one round: model -> why it can't serve; empty if all can.

    Args:
        canary: the client of Triton.
        models: check only these; empty: every loaded graph.
        required: models that must be loaded, whether they are checked or not.
        patience_s: seconds within which the graphs of a model that is late must finish an execution: it then is busy
            with requests, not dead, and is left out like one whose answers are unsound. 0: neither can serve.
    """
    try:
        ready, broken = await canary.states()
        missing = {name: broken.get(name, "not loaded") for name in (*models, *required) if name not in ready}
        covered = covering({name: await canary.config(name) for name in ready})
        targets = {name: covered.get(name, (name,)) for name in models} if models else covered
        before = await canary.counts()
        asked = [name for name in targets if name not in missing]
        if patience_s:
            # All at once: a probe's time is short, and those that are late are late together.
            answers = dict(zip(asked, await asyncio.gather(*map(canary.ask, asked)), strict=True))
        else:
            answers = {name: await canary.ask(name) for name in asked}
        faults = {name: answer.fault for name, answer in answers.items() if answer.fault}
        late = {name: targets[name] for name, answer in answers.items() if answer.late}
        if patience_s:
            faults = {name: fault for name, fault in faults.items() if not answers[name].unsound}
        for name in await _busy(canary, late, before, patience_s):
            del faults[name]
    except grpc.aio.AioRpcError as error:
        return {"triton": f"does not answer ({error.code().name})"}
    return missing | faults


async def _busy(
    canary: Canary, late: Mapping[str, tuple[str, ...]], before: Mapping[str, Count], patience_s: float
) -> set[str]:
    """Those of `late`, model -> its graphs, that finish an execution within `patience_s`."""
    busy: set[str] = set()
    loop = asyncio.get_running_loop()
    end = loop.time() + patience_s
    while patience_s and late.keys() - busy:
        counts = await canary.counts()
        busy |= {
            name
            for name, members in late.items()
            if any(_executions(counts, graph) > _executions(before, graph) for graph in members)
        }
        if not late.keys() - busy or loop.time() >= end:
            break
        # Triton gives no sign of progress that could be waited for.
        await asyncio.sleep(min(_LOOK_AGAIN_S, max(end - loop.time(), 0.0)))
    return busy


def _executions(counts: Mapping[str, Count], name: str) -> int:
    return counts[name].executions if name in counts else 0


async def _once(arguments: argparse.Namespace) -> dict[str, str]:
    try:
        models = list_manifests(Path(arguments.repository))
        annotators = list_annotators(Path(arguments.repository))
    except ManifestError as error:
        return {"repository": str(error)}
    try:
        key = read_key(arguments.repository_key_file)
    except KeyMissing as error:
        return {"repository key": str(error)}
    canary = Canary(arguments.url, (*models, *annotators), arguments.timeout, key)
    graphs = [name for card in models for name in repository_names(card)]
    graphs += [name for card in annotators for name in card.graphs]
    try:
        required = () if arguments.model or arguments.alive else graphs
        return await failing(canary, tuple(arguments.model), required, arguments.timeout if arguments.alive else 0.0)
    finally:
        await canary.close()


def main() -> int:
    """Check once; returns 0 if every model answered."""
    parser = argparse.ArgumentParser(
        prog="python -m model_server.canary", description="Check each model of a Triton once by inference."
    )
    parser.add_argument("--url", required=True, help="host:port of Triton's gRPC service")
    parser.add_argument("--repository", default="model_repository", help="folder with the model cards")
    parser.add_argument("--model", action="append", default=[], help="check only this model; may be repeated")
    parser.add_argument("--timeout", type=float, default=10.0, help="timeout of one answer, seconds")
    parser.add_argument(
        "--alive",
        action="store_true",
        help="fail only what a restart would mend: a model that is busy passes, and so does one that is not loaded",
    )
    parser.add_argument("--repository-key-file", type=Path, help="file with the key that listing models needs")
    found = asyncio.run(_once(parser.parse_args()))
    for name, reason in found.items():
        print(f"{name}: {reason}", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
