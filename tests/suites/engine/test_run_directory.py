"""The run directory: refusals, resuming after a cut, and a fixed order of episodes."""

import json
import shutil
from dataclasses import replace

import pytest

from tasteshift.errors import InputError
from tasteshift.leaderboard.rejection import VerificationError
from tasteshift.leaderboard.verification.recorded_run import read_run
from tasteshift.suites import evaluate as engine
from tasteshift.suites.compare import compare
from tasteshift.suites.engine import worker
from tasteshift.suites.engine.run_directory.reader import read_episodes, read_manifest
from tasteshift.suites.engine.run_directory.writer import RunDirectory
from tasteshift.suites.engine.stepping import play_in_lockstep
from tasteshift.suites.evaluate import evaluate, load_run
from tasteshift.suites.run_report import rewrite_report


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "popular"
    evaluate("popular", "smoke", out=out)
    return out


def content(run):
    return {name: (run / name).read_bytes() for name in ("episodes.jsonl", "scores.json")}


def test_a_run_directory_holds_the_contract_files_and_nothing_else(finished):
    names = {path.name for path in finished.iterdir()}
    assert names == {
        *("manifest.json", "episodes.jsonl", "steps.parquet", "generations.parquet"),
        *("timings.json", "scores.json", "report.html"),
    }
    keys = [(e.task, e.seed, e.user, e.policy) for e in read_episodes(finished)]
    assert keys == sorted(set(keys))


def test_the_same_run_twice_has_the_same_bytes(finished, tmp_path):
    evaluate("popular", "smoke", out=tmp_path / "again")
    assert content(finished) == content(tmp_path / "again")
    for table in ("steps.parquet", "generations.parquet"):
        assert (finished / table).read_bytes() == (tmp_path / "again" / table).read_bytes()


class Cut(Exception):
    """Raised in place of a power cut."""


def unfinished(tmp_path, monkeypatch, after=8):
    out, real = tmp_path / "cut", RunDirectory.add

    def add(self, result):
        if len(self.done) == after:
            raise Cut
        real(self, result)

    with monkeypatch.context() as patch:
        patch.setattr(RunDirectory, "add", add)
        with pytest.raises(Cut):
            evaluate("popular", "smoke", out=out)
    return out


@pytest.mark.parametrize("after", [4, 8, 12])
@pytest.mark.parametrize("torn", [b"", b'{"task":"smoke/sta'])
def test_a_run_that_was_cut_resumes_to_the_same_bytes(finished, tmp_path, monkeypatch, after, torn):
    out = unfinished(tmp_path, monkeypatch, after)
    with (out / "episodes.jsonl").open("ab") as file:
        file.write(torn)
    with pytest.raises(InputError, match="no finished run"):
        load_run(out)
    with pytest.raises(InputError, match="add --resume"):
        evaluate("popular", "smoke", out=out)
    with pytest.raises(InputError, match=r"another run \(agent was \"popular\" and is \"random\""):
        evaluate("random", "smoke", out=out, resume=True)
    played = []
    monkeypatch.setattr(
        worker, "play_in_lockstep", lambda *a: played.append(1) or play_in_lockstep(*a)
    )
    evaluate("popular", "smoke", out=out, resume=True)
    assert len(played) == len(read_episodes(finished)) - after
    assert content(out) == content(finished)


def test_nothing_is_written_before_the_first_episode(tmp_path):
    class Unprepared:
        name = "unprepared"

        def config(self):
            return {}

        def prepare(self, world):
            raise InputError("needs something; install it")

        def start(self, brief):
            raise AssertionError

    with pytest.raises(InputError, match="install it"):
        evaluate(Unprepared(), "smoke", out=tmp_path / "a" / "run")
    assert not list(tmp_path.iterdir())


def test_resuming_a_finished_run_returns_it_untouched(finished):
    before = (finished / "timings.json").read_bytes()
    run = evaluate("popular", "smoke", out=finished, resume=True)
    assert (finished / "timings.json").read_bytes() == before
    assert {"task", "metric", "value", "low", "high", "n", "unit", "direction"} == set(run.scores)


def test_finished_runs_and_other_folders_are_never_written_to(finished, tmp_path):
    before = content(finished)
    with pytest.raises(InputError, match="holds a finished run"):
        evaluate("popular", "smoke", out=finished)
    assert content(finished) == before
    (tmp_path / "mine.txt").write_text("keep")
    with pytest.raises(InputError, match="is not empty and holds no run"):
        evaluate("popular", "smoke", out=tmp_path)
    with pytest.raises(InputError, match="is a file"):
        evaluate("popular", "smoke", out=tmp_path / "mine.txt")
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def damage(run, name, change):
    path = run / name
    path.write_bytes(change(path.read_bytes()))


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("manifest.json", lambda _: b"", "manifest.json cannot be read"),
        ("manifest.json", lambda b: b.replace(b'"seeds"', b'"seed"'), "seeds: Field required"),
        ("scores.json", lambda b: b[: len(b) // 2], "scores.json cannot be read"),
        ("timings.json", lambda _: b"{}", "scores: Field required"),
        ("steps.parquet", lambda b: b[: len(b) // 2], "steps.parquet cannot be read"),
    ],
)
def test_damaged_files_get_one_clear_line(finished, tmp_path, name, change, message):
    run = tmp_path / "copy"
    shutil.copytree(finished, run)
    damage(run, name, change)
    with pytest.raises(InputError, match=message) as caught:
        rewrite_report(run)
    assert "\n" not in str(caught.value)


def test_missing_folders_and_files_are_named(finished, tmp_path):
    with pytest.raises(InputError, match="is not a run directory"):
        load_run(tmp_path / "nowhere")
    with pytest.raises(InputError, match=r"manifest.json is missing"):
        load_run(tmp_path)
    run = tmp_path / "copy"
    shutil.copytree(finished, run)
    (run / "scores.json").unlink()
    with pytest.raises(InputError, match="--resume"):
        load_run(run)


def test_the_identity_hash_covers_the_identity_alone(finished):
    manifest = read_manifest(finished)
    stored = json.loads((finished / "manifest.json").read_text())
    assert stored["provenance"]["python"]
    assert engine.sha256(stored["identity"]) == manifest.identity_hash
    changed = replace(manifest.identity, seeds=(1,))
    assert engine.sha256(engine.asdict(changed)) != manifest.identity_hash


def edited(run, name, change):
    path = run / name
    path.write_text(json.dumps(change(json.loads(path.read_text()))))


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("manifest.json", lambda m: m["identity"].update(agent="genius"), "hash of identity"),
        ("scores.json", lambda s: s[0].update(task="elsewhere"), "elsewhere is no task of the run"),
        ("timings.json", lambda t: t["episodes"][0].update(memory=[]), "has other turns"),
        ("timings.json", lambda t: t["episodes"].append({}), "Field required"),
    ],
)
def test_edited_files_get_one_clear_line(finished, tmp_path, name, change, message):
    run = tmp_path / "copy"
    shutil.copytree(finished, run)
    edited(run, name, lambda document: change(document) or document)
    with pytest.raises(InputError, match=message) as caught:
        rewrite_report(run)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("found", "written"), [(None, "format 1"), (3, "format 3")])
def test_another_format_version_is_refused_in_one_line(finished, tmp_path, found, written):
    run = tmp_path / "copy"
    shutil.copytree(finished, run)
    assert json.loads((run / "manifest.json").read_text())["format"] == 2
    change = {} if found is None else {"format": found}
    edited(run, "manifest.json", lambda m: {k: m[k] for k in m if k != "format"} | change)
    if found is None:
        edited(run, "timings.json", lambda t: {"scores": t["scores"], "lives": t["episodes"]})
    message = rf"another version of TasteShift \(run directory {written}, this version reads 2\)"
    for read in (
        load_run,
        rewrite_report,
        lambda path: evaluate("popular", "smoke", out=path, resume=True),
        lambda path: compare([path, finished]),
        read_run,
    ):
        with pytest.raises((InputError, VerificationError), match=message) as caught:
            read(run)
        assert str(caught.value).endswith("; run it again")
        assert "\n" not in str(caught.value)


def test_a_kill_leaves_no_temporary_file_after_the_resume(finished, tmp_path, monkeypatch):
    out = unfinished(tmp_path, monkeypatch)
    (out / ".steps.parquet.0011.tmp").write_bytes(b"half")
    evaluate("popular", "smoke", out=out, resume=True)
    assert {path.name for path in out.iterdir()} == {path.name for path in finished.iterdir()}


def test_a_trace_that_lost_half_of_its_turns_is_not_reported(finished, tmp_path):
    run = tmp_path / "copy"
    shutil.copytree(finished, run)
    lines = (run / "episodes.jsonl").read_text().splitlines(keepends=True)
    (run / "episodes.jsonl").write_text("".join(lines[: len(lines) // 2]))
    with pytest.raises(InputError, match=r"turns of .* in steps.parquet, .* in episodes.jsonl"):
        rewrite_report(run)


@pytest.mark.parametrize("kind", ["steps.parquet", "generations.parquet", "timings.json"])
@pytest.mark.parametrize("rest", [0, 20])
def test_an_episode_with_a_broken_part_is_run_again(finished, tmp_path, monkeypatch, kind, rest):
    out = unfinished(tmp_path, monkeypatch)
    part = sorted((out / "parts").glob(f"*.{kind}"))[0]
    part.write_bytes(part.read_bytes()[:rest])
    evaluate("popular", "smoke", out=out, resume=True)
    assert content(out) == content(finished)


def test_two_processes_do_not_share_a_folder(finished, tmp_path, monkeypatch):
    out, manifest = tmp_path / "run", read_manifest(finished)
    one, two = RunDirectory.create(out, manifest), RunDirectory.create(out, manifest)
    one._begin()
    with pytest.raises(InputError, match="another process is writing"):
        two._begin()
    with pytest.raises(InputError, match="another process is writing"):
        RunDirectory.resume(out, manifest)
    one.close()
    with pytest.raises(InputError, match="another process wrote"):
        two._begin()
    RunDirectory.resume(out, manifest).close()


def test_an_unknown_episode_stops_the_resume(finished, tmp_path, monkeypatch):
    out = unfinished(tmp_path, monkeypatch)
    first = json.loads((out / "episodes.jsonl").read_text().splitlines()[0])
    unknown = {**first, "user": first["user"] + 1000}
    with (out / "episodes.jsonl").open("a") as file:
        file.write(json.dumps(unknown) + "\n")
    for part in (out / "parts").glob(f"*-{first['user']}-{first['policy']}.*"):
        name = part.name.replace(f"-{first['user']}-", f"-{unknown['user']}-")
        shutil.copy(part, part.with_name(name))
    with pytest.raises(InputError, match="is no episode of this run"):
        evaluate("popular", "smoke", out=out, resume=True)
    assert not (out / "scores.json").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": "../x"}, "name of agent"),
        ({"name": "x" * 200}, "name of agent"),
        ({"name": None}, "name of agent"),
        ({"config": lambda: {"a": float("nan")}}, "gives no JSON values"),
        ({"config": lambda: {"a": object()}}, "gives no JSON values"),
        ({"config": lambda: []}, "must give a dictionary"),
        ({"config": lambda: 1 / 0}, "gives no JSON values"),
        ({"prepare": None}, "has no prepare"),
        ({"start": None}, "has no start"),
    ],
    ids=["path", "long", "none", "nan", "object", "list", "raises", "no-prepare", "no-start"],
)
def test_an_unusable_agent_is_refused_before_any_episode(tmp_path, change, message):
    from tasteshift.agents.popular import PopularAgent

    agent = PopularAgent()
    for name, value in change.items():
        setattr(agent, name, value)
    with pytest.raises(InputError, match=message):
        evaluate(agent, "smoke", out=tmp_path / "run")
    with pytest.raises(InputError, match="is a class; pass an instance"):
        evaluate(PopularAgent, "smoke", out=tmp_path / "run")
    assert not (tmp_path / "run").exists()
