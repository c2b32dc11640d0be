"""Sources by hub id: which files are wanted, and one plain sentence when the hub cannot be asked."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from export.errors import HubUnreachable, SourceRefused

WEIGHTS = (
    "diffusion_pytorch_model.safetensors",
    "model.safetensors",
    "diffusion_pytorch_model.fp16.safetensors",
    "model.fp16.safetensors",
)
"""Names of weights that are read, the preferred first."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Sub-folders of a hub repository with weights, and files that are wanted besides."""

    what: str
    weights_in: tuple[str, ...]
    others: tuple[str, ...]


PIPELINE = Wanted(
    "a diffusers pipeline",
    ("text_encoder/", "unet/", "vae/"),
    (
        "model_index.json",
        "scheduler/scheduler_config.json",
        "tokenizer/tokenizer.json",
        "tokenizer/vocab.json",
        "tokenizer/merges.txt",
        "tokenizer/tokenizer_config.json",
        "tokenizer/special_tokens_map.json",
    ),
)
CONTROLNET = Wanted("a ControlNet", ("",), ())

_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


def is_id(source: str) -> bool:
    """Whether `source` reads like owner/name."""
    return _ID.fullmatch(source) is not None


def select(present: set[str], wanted: Wanted) -> list[str]:
    """The files to download out of those `present`: configurations and one safetensors file a part.

    A part without safetensors keeps its config only, and `export.source` says so; pickle files are never fetched.
    """
    chosen = [name for name in wanted.others if name in present]
    for folder in wanted.weights_in:
        chosen += [name for name in (f"{folder}config.json",) if name in present]
        chosen += [f"{folder}{name}" for name in WEIGHTS if f"{folder}{name}" in present][:1]
    return chosen


def fetch(source: str, wanted: Wanted, offline: bool = False) -> Path:
    """A local snapshot of the hub repository `source` with only the wanted files.

    Raises HubUnreachable if the hub does not answer and the files are not in the local cache, SourceRefused if the
    hub answers that there is no such repository or that it is not open to the caller.
    """
    import huggingface_hub
    from huggingface_hub import errors

    cached = [
        *wanted.others,
        *(f"{part}{name}" for part in wanted.weights_in for name in ("config.json", *WEIGHTS)),
    ]
    try:
        if offline:
            return Path(huggingface_hub.snapshot_download(source, allow_patterns=cached, local_files_only=True))
        files = select(set(huggingface_hub.HfApi().list_repo_files(source)), wanted)
        return Path(huggingface_hub.snapshot_download(source, allow_patterns=files))
    except (errors.RepositoryNotFoundError, errors.GatedRepoError, errors.HFValidationError) as error:
        raise SourceRefused(
            f"the hub has no repository {source!r} that is open to you ({type(error).__name__})"
        ) from error
    except (
        errors.HfHubHTTPError,
        errors.LocalEntryNotFoundError,
        errors.OfflineModeIsEnabled,
        OSError,
    ) as error:
        raise _unreachable(source, wanted) from error
    except Exception as error:
        # The hub client's HTTP library raises classes of its own when there is no route, no name or no certificate.
        if type(error).__module__.split(".")[0] in ("httpx", "httpcore", "requests", "urllib3"):
            raise _unreachable(source, wanted) from error
        raise


def _unreachable(source: str, wanted: Wanted) -> HubUnreachable:
    return HubUnreachable(
        f"the hub could not be reached, so {source!r} cannot be fetched: on a machine that can, run "
        f"`hf download {source} --local-dir FOLDER` (config.json and *.safetensors files are enough), copy FOLDER "
        f"here and pass its path instead; it must hold {wanted.what} in diffusers layout."
    )
