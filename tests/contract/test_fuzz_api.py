"""A short run of the fuzzing that `make fuzz-api` does at length; the same requests every time."""

from tests.rigs.fuzz_api import fuzz


async def test_the_native_api_answers_whatever_is_asked() -> None:
    statuses = await fuzz(200, anew=False)
    assert sum(statuses.values()) >= 200
    assert not [status for status in statuses if status >= 500]
    assert {200, 404, 422} <= set(statuses), "it took some, missed some and refused some"
