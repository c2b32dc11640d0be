"""Download sources by hub id: select the files, and explain what to do if the hub cannot be reached."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from export.errors import HubUnreachable, SourceRefused
from export.parts import TOKENIZER_FILES
from export.shards import NAMES, is_shard

ANSWER_WITHIN_S = 10.0
SHARDS = "*-of-*.safetensors"


@dataclass(frozen=True, slots=True)
class Wanted:
    """Sub-folders of a hub repository with weights, and other files to download; `what` describes them together."""

    what: str
    weights_in: tuple[str, ...]
    others: tuple[str, ...]


_DIFFUSERS = "in diffusers layout (config.json and *.safetensors files are enough)"

PIPELINE = Wanted(
    f"a pipeline {_DIFFUSERS}",
    ("text_encoder/", "text_encoder_2/", "transformer/", "unet/", "vae/"),
    (
        "model_index.json",
        "scheduler/scheduler_config.json",
        *(f"{folder}/{name}" for folder in ("tokenizer", "tokenizer_2") for name in TOKENIZER_FILES),
    ),
)
CONTROLNET = Wanted(f"a ControlNet {_DIFFUSERS}", ("",), ())

_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


def is_id(source: str) -> bool:
    """Whether `source` looks like owner/name."""
    return _ID.fullmatch(source) is not None


def select(present: set[str], wanted: Wanted) -> list[str]:
    """Select the files to download from those `present`: configurations and, of each part, one safetensors file or an
    index with its shards.

    Of a part without safetensors only the config is downloaded, and `export.source` reports it; pickles never are.
    """
    chosen = [name for name in wanted.others if name in present]
    for folder in wanted.weights_in:
        chosen += [name for name in (f"{folder}config.json",) if name in present]
        for weights in [name for name in NAMES if f"{folder}{name}" in present][:1]:
            inside = sorted(name.removeprefix(folder) for name in present if name.startswith(folder))
            chosen += [f"{folder}{name}" for name in (weights, *inside) if name == weights or is_shard(name, weights)]
    return chosen


def fetch(source: str, wanted: Wanted, offline: bool = False) -> Path:
    """Download the wanted files of the hub repository `source`; returns the local snapshot.

    Raises HubUnreachable if the hub does not answer and the files are not in the local cache, SourceRefused if the
    repository does not exist or is not open to the caller.
    """
    import httpx2
    import huggingface_hub
    from huggingface_hub import errors

    unreachable = (httpx2.HTTPError, errors.HfHubHTTPError, errors.OfflineModeIsEnabled, OSError)
    try:
        if offline:
            return _cached(source, wanted)
        try:
            # One request without the client's own retries, so that a missing network is noticed quickly.
            answer = huggingface_hub.HfApi().model_info(source, timeout=ANSWER_WITHIN_S)
            files = select({sibling.rfilename for sibling in answer.siblings or ()}, wanted)
            return Path(huggingface_hub.snapshot_download(source, allow_patterns=files))
        except (errors.RepositoryNotFoundError, errors.GatedRepoError):
            raise
        except unreachable:
            return _cached(source, wanted)
    except (errors.RepositoryNotFoundError, errors.GatedRepoError, errors.HFValidationError) as error:
        raise SourceRefused(
            f"the hub has no repository {source!r} that is open to you ({type(error).__name__})"
        ) from error
    except (errors.LocalEntryNotFoundError, *unreachable) as error:
        raise _unreachable(source, wanted) from error


def _cached(source: str, wanted: Wanted) -> Path:
    import huggingface_hub

    files = [f"{part}{name}" for part in wanted.weights_in for name in ("config.json", *NAMES, SHARDS)]
    return Path(
        huggingface_hub.snapshot_download(source, allow_patterns=[*wanted.others, *files], local_files_only=True)
    )


def _unreachable(source: str, wanted: Wanted) -> HubUnreachable:
    return HubUnreachable(
        f"the hub could not be reached, so {source!r} cannot be fetched: on a machine that can, run "
        f"`hf download {source} --local-dir FOLDER`, copy FOLDER here and pass its path instead; it must contain "
        f"{wanted.what}."
    )
