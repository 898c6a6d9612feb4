"""Test how a run begins: its folder, settings and data, and what a failed start leaves."""

import shlex
import shutil
from pathlib import Path

import pytest

from singlow.data.feed.windows import Windows
from singlow.data.store.records import read_shard
from singlow.errors import DataError, Interrupted, UsageError
from singlow.runs.data import prepare_data
from singlow.runs.run import locate
from tests.datasets import corpus, write_noise
from tests.runs import CONFIG, run_in, save


@pytest.mark.parametrize("fresh", [False, True])
def test_a_folder_that_is_no_run_is_refused_and_unchanged(tmp_path, fresh):
    for name in ("songs", ".tmp-mine"):
        (tmp_path / "mine" / name).mkdir(parents=True)
    run = locate(str(tmp_path / "mine"), tmp_path / "checkpoints", tmp_path / "logs")
    for start in (run.require_free, run.begin(CONFIG, fresh).__enter__):
        with pytest.raises(UsageError, match=r"holds other files \(\.tmp-mine\) and is no run"):
            start()
    with pytest.raises(UsageError, match="Expected a run in"):
        run.set_aside()
    assert {p.name for p in tmp_path.iterdir()} == {"mine"}
    assert {p.name for p in run.directory.iterdir()} == {"songs", ".tmp-mine"}


def test_a_file_is_no_place_for_a_run(tmp_path):
    (tmp_path / "plain").touch()
    run = locate(str(tmp_path / "plain"), tmp_path / "checkpoints", tmp_path / "logs")
    for start in (run.require_free, run.begin(CONFIG).__enter__):
        with pytest.raises(UsageError, match="Expected a folder for the run"):
            start()


@pytest.mark.parametrize("fresh", [False, True])
def test_a_run_may_begin_among_leftovers_of_a_killed_trainer(tmp_path, fresh):
    run = locate(str(tmp_path / "mine"), tmp_path / "checkpoints", tmp_path / "logs")
    for name in (".tmp-epoch-0001", ".tmp-removed-epoch-0002", "logs"):
        (run.directory / name).mkdir(parents=True)
    for name in (".lock", ".tmp-config.json"):
        (run.directory / name).touch()
    run.require_free()
    with run.begin(CONFIG, fresh):
        assert {p.name for p in run.directory.iterdir()} == {".lock", "config.json", "logs"}


def test_only_leftovers_of_a_trainer_are_removed(tmp_path):
    run = run_in(tmp_path)
    with run.begin(CONFIG):
        pass
    (run.directory / ".tmp-notes").write_text("mine")
    with run.begin(CONFIG):
        assert (run.directory / ".tmp-notes").is_file()


@pytest.mark.parametrize("path", ["checkpoints/", "./", "checkpoints/../..", "/"])
def test_the_folder_of_all_runs_is_no_run(tmp_path, monkeypatch, path):
    (tmp_path / "checkpoints").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match="Expected the folder of one run"):
        locate(path, Path("checkpoints"), Path("logs"))


def test_settings_of_a_trainer_that_came_between_are_kept(tmp_path):
    """Both trainers resolve their settings before the run exists."""
    first, second = run_in(tmp_path), run_in(tmp_path)
    config = {**CONFIG, "arguments": {"k_glow": 2}, "training": {**CONFIG["training"], "seed": 0}}
    with first.begin(config):
        save(first, 1)
    other = {**config, "arguments": {"k_glow": 3}, "training": {**CONFIG["training"], "seed": 1}}
    with pytest.raises(UsageError) as error, second.begin(other):
        pass
    assert "k_glow is 2, given 3; seed is 0, given 1" in str(error.value)
    assert first.config == config
    longer = {**config, "training": {**CONFIG["training"], "epochs": 9}, "versions": {}}
    longer["arguments"] = {"k_glow": 2, "new": True}  # as a newer version of singlow writes it
    with second.begin(longer):
        assert first.config == longer


def test_a_start_that_fails_is_no_run(tmp_path):
    run = run_in(tmp_path)
    with pytest.raises(ValueError, match="bad"), run.begin(CONFIG):
        raise ValueError("bad")
    assert not run.exists
    with pytest.raises(Interrupted), run.begin(CONFIG):
        raise Interrupted("nothing is saved yet")
    assert run.exists
    save(run, 1)
    with pytest.raises(ValueError, match="bad"), run.begin(CONFIG):
        raise ValueError("bad")
    assert run.exists


def test_the_command_that_continues_a_run_can_be_pasted(tmp_path, monkeypatch):
    from singlow.training.fit import _saved

    verb = ["python3", "-m", "singlow", "train"]
    odd = tmp_path / "odd dir"
    own = ["--checkpoints", str(odd / "c"), "--logs", str(odd / "l")]
    for program, name, places, expected in (
        ("train.py", str(odd / "r"), ("c", "l"), ["python3", "train.py", "--run", str(odd / "r")]),
        ("train.py", "r", (odd / "c", odd / "l"), ["python3", "train.py", "--run", "r"]),
        ("singlow", "r", ("checkpoints", "logs"), [*verb, "--run", "r"]),
        ("singlow", "r", (odd / "c", odd / "l"), [*verb, "--run", "r", *own]),
        ("singlow", str(odd / "r"), (odd / "c", odd / "l"), [*verb, "--run", str(odd / "r")]),
    ):
        monkeypatch.setattr("sys.argv", [program])
        run = locate(name, *map(Path, places))
        assert shlex.split(_saved(run, 3).partition("Go on with: ")[2]) == expected


def test_the_advice_about_damaged_records_can_be_pasted(tmp_path):
    folder = write_noise(tmp_path / "odd dir", {"train": [4000], "validation": [4000]})
    for path in folder.glob("train*"):
        path.write_bytes(path.read_bytes()[:-1])
        for read in (
            lambda: Windows(folder, "train", 512, 1),
            lambda path=path: list(read_shard(path)),
        ):
            with pytest.raises(DataError) as error:
                read()
            command = str(error.value).partition("Run: ")[2]
            assert shlex.split(command)[-3:] == ["prepare", "--recover", str(folder)]


class TestData:
    """The content of a dataset identifies it, not its path."""

    @pytest.fixture
    def songs(self, tmp_path) -> Path:
        return corpus(tmp_path / "here" / "songs", {"ada": [0.3, 0.3, 0.3], "bo": [0.3, 0.3]})

    def begun(self, songs: Path, **more) -> dict:
        """Return the settings of a run that has begun on these songs."""
        new = {**CONFIG, "data": {"dataset": str(songs), "layout": "auto"}}
        return prepare_data(new, report=lambda _: None, **more)

    def test_records_that_were_moved_with_their_recordings_are_found(self, songs, tmp_path):
        config = self.begun(songs)
        there = tmp_path / "there"
        shutil.move(songs, there)
        with pytest.raises(UsageError, match="give --dataset DIR or --data_dir DIR"):
            prepare_data(config)
        lines = []
        again = prepare_data(config, dataset=str(there), report=lines.append)
        assert again["data"] == {
            **config["data"],
            "dataset": str(there),
            "directory": str(next((there / ".singlow").iterdir())),
        }
        assert lines == []

    def test_recordings_that_were_moved_are_prepared_again_and_compared(self, songs, tmp_path):
        config = self.begun(songs, data_dir=tmp_path / "records")
        there = tmp_path / "there"
        shutil.copytree(songs, there)
        shutil.rmtree(songs)
        again = prepare_data(config, tmp_path / "others", dataset=str(there), report=lambda _: None)
        assert again["data"]["content"] == config["data"]["content"]
        shutil.rmtree(tmp_path / "records")
        for path in there.glob("bo/*"):
            path.unlink()
        with pytest.raises(UsageError, match="Run t exists with other settings: dataset is"):
            prepare_data(config, dataset=str(there), name="t", report=lambda _: None)

    def test_records_alone_are_found_in_the_folder_of_records(self, songs, tmp_path):
        config = self.begun(songs, data_dir=tmp_path / "records")
        shutil.rmtree(songs)
        shutil.move(tmp_path / "records", tmp_path / "elsewhere")
        again = prepare_data(config, tmp_path / "elsewhere", report=lambda _: None)
        assert Path(again["data"]["directory"]).parent == tmp_path / "elsewhere"

    def test_another_dataset_is_refused_before_it_is_decoded(self, songs, tmp_path):
        config = self.begun(songs)
        other = corpus(tmp_path / "other", {"ada": [0.3, 0.3], "cy": [0.3]})
        before = sorted(other.rglob("*"))
        with pytest.raises(UsageError, match="Run t exists with other settings: dataset is"):
            prepare_data(config, dataset=str(other), name="t", report=lambda _: None)
        assert sorted(other.rglob("*")) == before

    def test_recordings_that_were_added_are_named(self, songs):
        config, lines = self.begun(songs), []
        shutil.copy(next((songs / "ada").iterdir()), songs / "ada" / "new.wav")
        again = prepare_data(config, report=lines.append)
        assert again["data"] == config["data"]
        (line,) = lines
        assert "1 recording(s) were added: ada/new" in line
        assert "--fresh" in line

    def test_a_layout_is_passed_on_and_kept(self, songs):
        """In the layout of Blow, file names begin with the singer."""
        for number, path in enumerate(sorted(songs.rglob("*.*"))):
            path.rename(songs / f"{'ada' if number % 2 else 'bo'}_{number}{path.suffix}")
        config = {**CONFIG, "data": {"dataset": str(songs), "layout": "blow"}}
        again = prepare_data(config, report=lambda _: None)["data"]
        assert (again["layout"], again["singers"]) == ("blow", ["ada", "bo"])
