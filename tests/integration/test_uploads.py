"""Uploads in parts: in any order, again, too much, too little, of others."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.files.assets import Assets
from gateway.files.stores import S3Access
from gateway.files.upload_records import UploadStatus
from gateway.files.uploads import MOST_UNFINISHED, Upload, Uploads
from mesh.errors import Conflict, Forbidden, InvalidInput, NotFound, Overloaded
from mesh.pictures import MAX_BYTES
from tests.rigs.assets import Place, Shelf, opened, picture

PICTURE = picture(7)
HERE = "http://here"


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place((tmp_path / "files").as_uri(), f"sqlite:///{tmp_path}/records.db", S3Access())


@pytest.fixture
async def shelf(place: Place) -> AsyncIterator[Shelf]:
    async with opened(place) as there:
        yield there


async def begin(uploads: Uploads, owner: str = "ann", **changes: object) -> Upload:
    asked = {"kind": "image", "file_name": "a.png", "size": len(PICTURE), "content_type": "image/png", "parts": 3}
    return await uploads.begin(HERE, owner, **asked | changes)  # type: ignore[arg-type]


async def send(uploads: Uploads, upload: Upload, number: int, content: bytes) -> None:
    """PUT it to the link of that part."""
    path, _, query = upload.parts[number - 1].url.partition("?expires=")
    assert path == f"{HERE}/controlmesh/v1/uploads/{upload.id}/parts/{number}"
    await uploads.put_part(upload.id, number, content, *query.split("&signature="))


def thirds(content: bytes) -> list[bytes]:
    size = -(-len(content) // 3)
    return [content[at : at + size] for at in range(0, len(content), size)]


async def test_parts_in_any_order_become_one_picture(shelf: Shelf) -> None:
    upload = await begin(shelf.uploads, file_name="../../a.png")
    assert upload.status == UploadStatus.PENDING and upload.record.file_name == "a.png"
    pieces = thirds(PICTURE)
    for number in (3, 1, 2):
        await send(shelf.uploads, upload, number, pieces[number - 1])
    done = await shelf.uploads.complete(HERE, upload.id, "ann")
    assert done.status == UploadStatus.IMPORTED and done.record.asset
    record = await shelf.assets.record(done.record.asset, "ann")
    assert (record.name, record.source, record.size) == ("a.png", "uploaded", len(PICTURE))
    assert (await shelf.assets.get(record.id)).content == PICTURE
    assert await shelf.paths() == [f"kept/{record.id}"], "the parts are gone"
    again = await shelf.uploads.complete(HERE, upload.id, "ann")
    assert again.record == done.record == (await shelf.uploads.get(HERE, upload.id, "ann")).record
    with pytest.raises(Conflict):
        await send(shelf.uploads, upload, 1, b"x")


async def test_a_part_sent_again_replaces_the_first(shelf: Shelf) -> None:
    upload = await begin(shelf.uploads, parts=1)
    await send(shelf.uploads, upload, 1, b"wrong")
    await send(shelf.uploads, upload, 1, PICTURE)
    assert len(await shelf.paths()) == 1
    assert (await shelf.uploads.complete(HERE, upload.id, "ann")).status == UploadStatus.IMPORTED


async def test_several_who_complete_at_once_agree(shelf: Shelf) -> None:
    upload = await begin(shelf.uploads)
    for number, piece in enumerate(thirds(PICTURE), 1):
        await send(shelf.uploads, upload, number, piece)
    done = await asyncio.gather(*(shelf.uploads.complete(HERE, upload.id, "ann") for _ in range(4)))
    states = {(one.status, one.record.asset) for one in done}
    assert len(states) == 1 and states.pop()[0] == UploadStatus.IMPORTED
    assert len(await shelf.paths()) == 1


async def test_missing_parts_can_still_be_sent(shelf: Shelf) -> None:
    upload = await begin(shelf.uploads)
    first, second, third = thirds(PICTURE)
    await send(shelf.uploads, upload, 1, first)
    await send(shelf.uploads, upload, 3, third)
    with pytest.raises(InvalidInput, match="part 2 is missing"):
        await shelf.uploads.complete(HERE, upload.id, "ann")
    assert (await shelf.uploads.get(HERE, upload.id, "ann")).status == UploadStatus.PENDING
    await send(shelf.uploads, upload, 2, second)
    assert (await shelf.uploads.complete(HERE, upload.id, "ann")).status == UploadStatus.IMPORTED


@pytest.mark.parametrize(
    ("content", "announced", "reason"),
    [
        (b"<svg onload='alert(1)'/>", {}, "cannot identify"),
        (PICTURE, {"content_type": "image/jpeg"}, "not image/jpeg"),
        (PICTURE, {"size": len(PICTURE) + 1}, "bytes in total"),
        (PICTURE[:20], {}, "cannot identify"),
    ],
)
async def test_what_is_not_as_announced_fails_with_a_reason(
    shelf: Shelf, content: bytes, announced: dict[str, object], reason: str
) -> None:
    upload = await begin(shelf.uploads, **{"parts": 1, "size": len(content)} | announced)
    await send(shelf.uploads, upload, 1, content)
    failed = await shelf.uploads.complete(HERE, upload.id, "ann")
    assert failed.status == UploadStatus.FAILED and failed.record.asset is None
    assert reason in (failed.record.error or "")
    assert await shelf.paths() == [] and (await shelf.assets.page("ann", 10)).records == ()
    assert (await shelf.uploads.complete(HERE, upload.id, "ann")).record == failed.record


async def test_a_part_is_no_larger_than_the_whole(shelf: Shelf) -> None:
    upload = await begin(shelf.uploads)
    for content in (b"", PICTURE + b"x"):
        with pytest.raises(InvalidInput, match="bytes"):
            await send(shelf.uploads, upload, 1, content)
    assert await shelf.paths() == []


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("kind", "video"),
        ("size", 0),
        ("size", -1),
        ("size", MAX_BYTES + 1),
        ("parts", 0),
        ("parts", 65),
        ("parts", 10**9),
        ("content_type", "image/svg+xml"),
        ("content_type", "text/html"),
    ],
)
async def test_what_is_not_taken_is_said_at_the_beginning(shelf: Shelf, field: str, value: object) -> None:
    with pytest.raises(InvalidInput) as caught:
        await begin(shelf.uploads, **{field: value})
    assert caught.value.field == field


async def test_links_are_for_one_part_of_one_upload_and_end(shelf: Shelf) -> None:
    one, two = await begin(shelf.uploads), await begin(shelf.uploads)
    expires, signature = one.parts[0].url.partition("?expires=")[2].split("&signature=")
    for id, number, end in ((two.id, 1, expires), (one.id, 2, expires), (one.id, 1, str(int(expires) + 60))):
        with pytest.raises(Forbidden):
            await shelf.uploads.put_part(id, number, b"x", end, signature)
    shelf.clock[0] = one.parts[0].expires
    with pytest.raises(Forbidden):
        await shelf.uploads.put_part(one.id, 1, b"x", expires, signature)
    assert await shelf.paths() == []


async def test_another_s_upload_is_as_unknown_as_none(shelf: Shelf) -> None:
    upload = await begin(shelf.uploads)
    for question in (shelf.uploads.get, shelf.uploads.complete):
        with pytest.raises(NotFound):
            await question(HERE, upload.id, "bob")


async def test_unfinished_uploads_are_bounded_by_owner(shelf: Shelf) -> None:
    for _ in range(MOST_UNFINISHED):
        await begin(shelf.uploads)
    with pytest.raises(Overloaded):
        await begin(shelf.uploads)
    await begin(shelf.uploads, "bob")


async def test_uploads_whose_time_is_over_are_swept_with_their_parts(place: Place) -> None:
    async with opened(place) as shelf, opened(place, life_s=0.0) as late:
        living, over = await begin(shelf.uploads), await begin(late.uploads)
        await send(shelf.uploads, living, 1, b"x")
        end = shelf.assets.links.end(60)
        signature = shelf.assets.links.query(f"upload/{over.id}/1", end).rpartition("=")[2]
        with pytest.raises(NotFound):
            await shelf.uploads.put_part(over.id, 1, b"x", str(end), signature)
        await shelf.assets.files.put(f"parts/{over.id}-1-0", b"x", "")
        assert await late.uploads.sweep() == 1
        assert await late.uploads.sweep() == 0
        await send(shelf.uploads, living, 2, b"x")


async def test_the_sweep_of_results_leaves_parts_for_a_day(place: Place) -> None:
    async with opened(place, retention_s=-3600.0) as shelf:
        upload = await begin(shelf.uploads)
        await send(shelf.uploads, upload, 1, b"x")
        assert await Assets.sweep(shelf.assets) == 0 and len(await shelf.paths()) == 1
