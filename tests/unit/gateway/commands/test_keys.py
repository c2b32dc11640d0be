"""The command line that makes, lists and revokes keys."""

import asyncio
import re
from functools import partial
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from gateway.commands.keys import command
from gateway.database.connection import open_database
from gateway.webhooks.endpoints import owners_secret


class Cli:
    """`python -m gateway keys` over a database of the test's own."""

    def __init__(self, url: str) -> None:
        self._app = command(lambda: url)

    def __call__(self, *arguments: str) -> Result:
        return CliRunner().invoke(self._app, list(arguments), env={"COLUMNS": "200"})


@pytest.fixture
def keys(tmp_path: Path) -> Cli:
    return Cli(f"sqlite:///{tmp_path}/records.db")


def test_a_key_is_printed_once_and_alone(keys: Cli, tmp_path: Path) -> None:
    made = keys("create", "--name", "my app", "--owner", "acme", "--most-waiting", "5", "--per-minute", "60")
    assert made.exit_code == 0 and re.fullmatch(r"cm_[\w-]{43}\n", made.stdout)
    id = re.match(r"(k_[0-9a-f]{8}) for owner acme, scopes generate\.", made.stderr)
    assert id, made.stderr
    head, row = keys("list").stdout.splitlines()
    assert re.split(r"\s{2,}", head)[:7] == ["id", "name", "owner", "scopes", "waiting", "per minute", "priority"]
    assert re.split(r"\s{2,}", row)[:7] == [id[1], "my app", "acme", "generate", "5", "60", "-"]
    secret = made.stdout.strip()
    assert secret not in keys("list").output
    for file in tmp_path.iterdir():
        assert secret.encode() not in file.read_bytes()


def test_two_keys_differ_and_each_is_an_owner_unless_told(keys: Cli) -> None:
    first, second = keys("create", "--name", "a"), keys("create", "--name", "a")
    assert first.stdout != second.stdout
    rows = [re.split(r"\s{2,}", line) for line in keys("list").stdout.splitlines()[1:]]
    assert [row[2] for row in rows] == [row[0] for row in rows] and len({row[0] for row in rows}) == 2
    assert len(keys("list", "--owner", rows[0][2]).stdout.splitlines()) == 2


def test_admin_includes_generate(keys: Cli) -> None:
    assert "scopes admin, generate." in keys("create", "--name", "a", "--scope", "admin").stderr


def test_options_are_chosen_and_changed(keys: Cli) -> None:
    keys("create", "--name", "a", "--option", "enterprise.strict=yes", "--option", "enterprise.inline=default")
    row = re.split(r"\s{2,}", keys("list").stdout.splitlines()[1])
    assert row[7] == "enterprise.strict=yes"
    told = keys("set", row[0], "--option", "enterprise.inline=yes", "--option", "enterprise.strict=no")
    assert told.stderr == f"{row[0]} (a): enterprise.inline=yes,enterprise.strict=no\n"
    back = keys("set", row[0], "--option", "enterprise.inline=default", "--option", "enterprise.strict=default")
    assert back.stderr == f"{row[0]} (a): as the deployment\n"
    assert re.split(r"\s{2,}", keys("list").stdout.splitlines()[1])[7] == "-"


def test_an_owner_s_webhook_secret_is_the_one_that_its_messages_are_signed_with(keys: Cli, tmp_path: Path) -> None:
    keys("create", "--name", "a", "--owner", "acme")
    keys("create", "--name", "b", "--owner", "other")
    told = keys("webhook-secret", "acme")
    assert told.exit_code == 0 and told.stdout == keys("webhook-secret", "acme").stdout
    assert told.stdout != keys("webhook-secret", "other").stdout
    assert told.stdout.strip() == asyncio.run(_signing(tmp_path, "acme"))
    assert keys("webhook-secret", "anybody").exit_code == 0
    unknown = keys("webhook-secret", "nobody")
    assert (unknown.exit_code, unknown.stdout) == (1, "") and "owner 'nobody' has no keys" in unknown.stderr


async def _signing(folder: Path, owner: str) -> str:
    with open_database(f"sqlite:///{folder}/records.db") as database:
        return await database.run(partial(owners_secret, owner=owner))


def test_a_revoked_key_stays_in_the_list_with_its_time(keys: Cli) -> None:
    keys("create", "--name", "a")
    id = keys("list").stdout.splitlines()[1].split()[0]
    assert keys("list").stdout.splitlines()[1].endswith("-")
    for _ in range(2):
        assert (told := keys("revoke", id)).exit_code == 0 and told.stderr == f"{id} (a) is revoked\n"
    assert re.search(r"\d{4}-\d\d-\d\d \d\d:\d\d$", keys("list").stdout.splitlines()[1])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("create", "--name", " "), "name must be 1 to 64"),
        (("create", "--name", "a\nb"), "name must be 1 to 64"),
        (("create", "--name", "x" * 65), "name must be 1 to 64"),
        (("create", "--name", "a", "--owner", "../b"), "owner must be 1 to 63"),
        (("create", "--name", "a", "--owner", "x" * 64), "owner must be 1 to 63"),
        (("create", "--name", "a", "--scope", "root"), "scopes must be some of generate, admin"),
        (("create", "--name", "a", "--option", "enterprise.loud=yes"), "enterprise.strict, enterprise.inline"),
        (("create", "--name", "a", "--option", "native.strict=yes"), "option 'native.strict=yes' is unknown"),
        (("create", "--name", "a", "--option", "enterprise.strict"), "write NAME=yes, no or default"),
        (("set", "k_00000000", "--option", "enterprise.strict=yes"), "no valid key has this id"),
        (("revoke", "k_00000000"), "unknown key id"),
    ],
)
def test_what_can_not_be_is_one_line(keys: Cli, arguments: tuple[str, ...], words: str) -> None:
    told = keys(*arguments)
    assert told.exit_code == 1 and words in told.stderr and told.stderr.count("\n") == 1 and not told.stdout


@pytest.mark.parametrize(
    "arguments",
    [("--per-minute", "0"), ("--most-waiting", "-1"), ("--most-priority", "10"), ("--per-minute", "1e9"), ("--x",)],
)
def test_numbers_out_of_their_range_make_no_key(keys: Cli, arguments: tuple[str, ...]) -> None:
    assert keys("create", "--name", "a", *arguments).exit_code == 2
    assert "there are no keys" in keys("list").stderr


@pytest.mark.parametrize(
    ("url", "words"), [("", "CN_GATEWAY_DATABASE_URL is not set"), ("mysql://h/x", "kind 'mysql'")]
)
def test_without_a_database_there_are_no_keys(url: str, words: str) -> None:
    told = Cli(url)("create", "--name", "a")
    assert told.exit_code == 1 and words in told.stderr and not told.stdout


@pytest.mark.parametrize("arguments", [(), ("--help",), ("create", "--help"), ("set", "--help"), ("revoke", "--help")])
def test_help_needs_no_database(arguments: tuple[str, ...]) -> None:
    told = Cli("")(*arguments).output
    assert "Usage" in told and "CN_GATEWAY_DATABASE_URL is not set" not in told
