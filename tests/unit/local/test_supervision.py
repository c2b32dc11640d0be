"""What a mesh on one machine writes is nobody else's, and its processes know no more keys than they need."""

from pathlib import Path

from local.logs import last_error
from local.processes import REPOSITORY_KEY, processes
from local.settings import LocalSettings
from local.supervision import CONFIG, private_run
from local.supervisor_config import supervisord_config


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def test_a_run_folder_of_an_older_version_is_taken_from_the_others(tmp_path: Path) -> None:
    run = tmp_path / "run"
    (run / "logs").mkdir(parents=True)
    (run / "assets").mkdir()
    files = [run / CONFIG, run / "envoy.yaml", run / "records.db", run / "records.db-wal", run / "logs" / "gateway.log"]
    files += [run / "records.db-workflows", run / "records.db-shm", run / "logs" / "gateway.log.1"]
    for file in files:
        file.write_text("old")
        file.chmod(0o644)
    for folder in (run, run / "logs", run / "assets"):
        folder.chmod(0o755)
    private_run(run)
    assert {mode(folder) for folder in (run, run / "logs", run / "assets")} == {0o700}
    assert {mode(file) for file in files} == {0o600}


def test_a_folder_that_held_no_mesh_keeps_its_mode(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    private_run(tmp_path)
    assert (mode(tmp_path), mode(tmp_path / "logs")) == (0o755, 0o700)
    private_run(tmp_path / "new")
    assert mode(tmp_path / "new") == 0o700


def test_unet_svc_alone_gets_the_key_with_which_triton_loads_models(tmp_path: Path) -> None:
    private_run(tmp_path)

    def holders(environ: dict[str, str]) -> dict[str, str]:
        rows = processes(LocalSettings(run_folder=str(tmp_path)), tmp_path, environ)
        assert all("umask=077" in part for part in supervisord_config(rows, tmp_path).split("[program:")[1:])
        return {row.name: row.environment[REPOSITORY_KEY] for row in rows if REPOSITORY_KEY in row.environment}

    first, second = holders({}), holders({})
    assert first.keys() == {"model_server", "unet_svc"}
    assert len(set(first.values())) == 1 and len(first["unet_svc"]) > 20
    assert REPOSITORY_KEY == "CN_TRITON_REPOSITORY_KEY"
    assert first != second, "a key is that of a run"
    assert holders({REPOSITORY_KEY: "chosen"}) == {}, "the processes inherit it"
    assert mode(tmp_path / "envoy.yaml") == 0o600


def test_why_a_mesh_does_not_become_ready_is_the_last_error_of_this_run(tmp_path: Path) -> None:
    log = tmp_path / "model_server.log"
    assert last_error(log) == ""
    lines = [
        '{"event": "old", "level": "error", "timestamp": "2026-01-01T00:00:00.000000Z"}',
        '{"event": "ended", "reason": "port 1 is taken", "level": "error", "timestamp": "2026-01-02T00:00:00.000000Z"}',
        '{"event": "starting", "level": "info", "timestamp": "2026-01-02T00:00:01.000000Z"}',
        "no JSON", "[]", '"x"', '{"event": "cut off',
    ]  # fmt: skip
    log.write_text("\n".join(lines))
    assert last_error(log) == "ended: port 1 is taken"
    assert last_error(log, "2026-01-02T00:00:00.500000+00:00") == ""
    log.write_text("x" * (1 << 20) + "\n" + lines[1] + "\n")
    assert last_error(log, "2026-01-01T12:00:00+00:00") == "ended: port 1 is taken"
