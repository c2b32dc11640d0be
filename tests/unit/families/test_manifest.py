"""The card of a model: what is written is what is read, and a bad one is refused with advice."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from families.facts import Concat, Net, skips
from families.manifest import (
    GraphFacts,
    Manifest,
    ManifestError,
    list_manifests,
    manifest_path,
    read_manifest,
    write_manifest,
)
from tests.rigs.model_cards import encoder, nets


def card(**changes: Any) -> Manifest:
    facts: dict[str, Any] = {
        "name": "some",
        "family": "sd15",
        "native_size": 512,
        "latent_channels": 4,
        "downscale": 8,
        "encoders": (encoder(width=768, layers=12, pad=1, bos=2, eos=1),),
        "text_tokens": 77,
        "text_width": 768,
        "residuals": skips(((320, 1), (320, 2))),
        "nets": nets("canny", "depth", pooled=("depth",)),
        "scheduler": {"_class_name": "PNDMScheduler", "prediction_type": "epsilon"},
        "preview": ((0.3, 0.2, 0.1),) * 4 + ((0.5, 0.5, 0.5),),
        "graphs": {"some_unet": GraphFacts(sha256="0" * 64, bytes=10, max_abs_error=1e-6)},
        "source": "owner/some",
        "versions": {"torch": "1"},
        "fingerprint": "f" * 64,
        "target": "cpu",
    }
    return Manifest(**(facts | changes))


def write(repository: Path, manifest: Manifest) -> None:
    (repository / manifest.name).mkdir()
    write_manifest(repository / manifest.name, manifest)


def test_a_card_is_read_as_it_was_written(tmp_path: Path) -> None:
    write(tmp_path, card())
    assert read_manifest(tmp_path, "some") == card()


@pytest.mark.parametrize("concat", [Concat(), Concat(mask="blocks"), Concat(control="canny-edges")])
def test_a_card_keeps_what_its_model_reads_beside_the_latents(tmp_path: Path, concat: Concat) -> None:
    write(tmp_path, card(concat=concat))
    assert read_manifest(tmp_path, "some").concat == concat


def test_the_same_card_is_the_same_bytes(tmp_path: Path) -> None:
    write(tmp_path, card())
    before = manifest_path(tmp_path, "some").read_bytes()
    write_manifest(tmp_path / "some", card(scheduler={"prediction_type": "epsilon", "_class_name": "PNDMScheduler"}))
    assert manifest_path(tmp_path, "some").read_bytes() == before


def test_cards_are_listed_by_name_and_other_folders_are_not_cards(tmp_path: Path) -> None:
    for name in ("b", "a"):
        write(tmp_path, card(name=name))
    (tmp_path / "a_unet" / "1").mkdir(parents=True)
    assert [found.name for found in list_manifests(tmp_path)] == ["a", "b"]


def test_a_missing_card_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="python -m export SOURCE --name some"):
        read_manifest(tmp_path, "some")


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"name": 3}'])
def test_a_broken_card_says_how_to_renew_it_and_names_no_folder(tmp_path: Path, text: str) -> None:
    (tmp_path / "some").mkdir()
    manifest_path(tmp_path, "some").write_text(text)
    with pytest.raises(ManifestError, match="--force") as raised:
        read_manifest(tmp_path, "some")
    assert str(tmp_path.parent) not in str(raised.value)


@pytest.mark.parametrize("name", ["", "..", "a/b", "Demo", "a__b", "-a", "a.b", "a b"])
def test_a_name_that_could_leave_its_folder_or_split_a_graph_name_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="is not a valid name"):
        card(name=name)


@pytest.mark.parametrize(
    "controls", [(("depth",), ("canny",)), (("canny",), ("canny",)), (("canny__x",),), (("a", "canny"), ("b", "canny"))]
)
def test_nets_are_sorted_single_words_and_every_kind_has_one(controls: tuple[tuple[str, ...], ...]) -> None:
    with pytest.raises(ValueError):
        card(nets=tuple(Net(name=kinds[0], kinds=dict.fromkeys(kinds)) for kinds in controls))


def test_a_card_of_a_version_with_one_text_encoder_is_read_as_todays(tmp_path: Path) -> None:
    wanted = card()
    old = msgspec.to_builtins(wanted)
    (words,) = old.pop("encoders")
    old |= {"text_layers": words["layers"], **{f"{role}_token_id": words[role] for role in ("pad", "bos", "eos")}}
    old |= {"controls": ["canny", "depth"], "pooled_controls": ["depth"], "residuals": [[320, 1], [320, 2]]}
    del old["nets"]
    (tmp_path / "some").mkdir()
    manifest_path(tmp_path, "some").write_bytes(msgspec.json.encode(old))
    assert read_manifest(tmp_path, "some") == wanted
