"""Test datasets of pictures: folders, datasets with a name, their records and batches."""

import json

import numpy as np
import pytest
from PIL import Image as Picture

from singlow.data.feed.recordings import read_recordings
from singlow.data.feed.windows import Windows
from singlow.data.prepare.build import describe_changes, prepare
from singlow.data.prepare.pictures import prepare_pictures
from singlow.data.prepare.repair import recover_dataset, verify_dataset
from singlow.data.store.dataset import Clips, read_info, singer_names
from singlow.errors import DataError, EnvironmentFault, UsageError
from singlow.inputs import Input
from singlow.signals import Image
from tests.pictures import shapes, write_cifar, write_folder, write_mnist
from tests.songs import singlow as command

QUIET = {"report": lambda _: None}


@pytest.fixture
def home(tmp_path, monkeypatch):
    """An empty Keras folder, in a working folder of its own."""
    monkeypatch.setattr("keras.src.backend.config.keras_home", lambda: str(tmp_path / "keras"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "keras"


@pytest.fixture
def folder(tmp_path):
    write_folder(tmp_path / "set")
    return tmp_path / "set"


def pixels_of(directory, split):
    info = read_info(directory)
    clips = Clips(directory, info, split)
    return {entry.id: clips.samples(index) for index, entry in enumerate(clips.entries)}


def test_a_folder_has_a_class_for_each_subfolder(folder):
    lines = []
    records = prepare_pictures(str(folder), img_size=8, report=lines.append)
    info = read_info(records)
    assert info["classes"] == {"bar": 0, "square": 1}
    assert (info["image"], info["channels"]) == ([8, 8], 3)
    assert "singers" not in info
    assert "sample_rate" not in info
    train, held = pixels_of(records, "train"), pixels_of(records, "validation")
    assert (
        {id.split("/")[0] for id in train} == {id.split("/")[0] for id in held} == {"bar", "square"}
    )
    stored = {**train, **held}
    x, _ = shapes(24, 8, 3)
    for index in (1, 2, 4):  # png files, which have no loss
        place = f"{'square' if index % 2 == 0 else 'bar'}/{index}"
        np.testing.assert_array_equal(stored[place], x[index])
    assert "2 class(es), 22 pictures to train on, 2 held out, 8 x 8 pixels" in lines[-1]


def test_records_are_reused_verified_and_recovered(folder):
    records = prepare_pictures(str(folder), img_size=8, **QUIET)
    lines = []
    assert prepare_pictures(str(folder), img_size=8, report=lines.append) == records
    assert "reused" in lines[-1]
    assert prepare_pictures(str(folder), img_size=4, **QUIET) != records
    verify_dataset(records, report=lines.append)
    shard = next(records.glob("train.tfrecord-00000-*"))
    content = bytearray(shard.read_bytes())
    content[40] ^= 1
    shard.write_bytes(content)
    with pytest.raises(DataError, match="damaged"):
        verify_dataset(records, **QUIET)
    info = recover_dataset(records, **QUIET)
    assert len(info["lost"]) == 1
    assert len(pixels_of(records, "train")) == 21


def test_the_same_pictures_give_the_same_bytes(folder, tmp_path):
    first, second = (
        prepare_pictures(str(folder), tmp_path / name, img_size=8, **QUIET) for name in "ab"
    )
    for path in sorted(first.iterdir()):
        assert path.read_bytes() == (second / path.name).read_bytes()


def test_bad_pictures_are_named_and_left_out(folder):
    (folder / "bar" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nno picture")
    Picture.new("1", (20000, 20000)).save(folder / "bar" / "bomb.png")
    lines = []
    info = read_info(prepare_pictures(str(folder), img_size=8, report=lines.append))
    left_out = {entry["path"]: entry["reason"] for entry in info["rejected"]}
    assert set(left_out) == {"bar/broken.png", "bar/bomb.png"}
    assert "Expected at most" in left_out["bar/bomb.png"]
    assert sum("Left out: " in line for line in lines) == 2
    assert sum(part["clips"] for part in info["splits"].values()) == 24


def test_copies_are_on_one_side(tmp_path):
    folder = tmp_path / "set"
    write_folder(folder, 12)
    for index in range(1, 12):
        original = next(folder.glob(f"*/{index}.*"))
        (original.parent / f"copy{original.name}").write_bytes(original.read_bytes())
    lines = []
    records = prepare_pictures(str(folder), img_size=8, report=lines.append)
    train, held = (
        {id.replace("copy", "") for id in pixels_of(records, split)}
        for split in ("train", "validation")
    )
    assert not train & held
    assert "11 picture(s) are copies of others, pixel for pixel" in lines[-1]


def test_a_folder_without_usable_pictures_is_refused(tmp_path):
    (tmp_path / "set").mkdir()
    with pytest.raises(DataError, match="holds no picture"):
        prepare_pictures(str(tmp_path / "set"), **QUIET)
    (tmp_path / "set" / "a.png").write_bytes(b"")
    with pytest.raises(DataError, match=r"None of 1 picture\(s\) can be used; the first, a.png"):
        prepare_pictures(str(tmp_path / "set"), **QUIET)
    assert [path.name for path in (tmp_path / "set").iterdir()] == ["a.png"]
    with pytest.raises(UsageError, match="channel_size 1 or 3"):
        prepare_pictures(str(tmp_path / "set"), channels=2, **QUIET)


def test_mnist_is_read_from_its_file_and_padded(home):
    write_mnist(home)
    records = prepare_pictures("mnist", img_size=32, channels=1, **QUIET)
    info = read_info(records)
    assert (info["splits"]["train"]["clips"], info["splits"]["validation"]["clips"]) == (40, 10)
    x, _ = shapes(40, 28, seed=40)
    first = pixels_of(records, "train")["train/00000"]
    np.testing.assert_array_equal(first[2:30, 2:30], x[0])
    assert first[:2].max() == first[30:].max() == 0


@pytest.mark.parametrize(("name", "protocol"), [("cifar10", 2), ("cifar10", 5), ("cifar100", 4)])
def test_cifar_is_read_from_its_batches(home, name, protocol):
    write_cifar(home, name, protocol=protocol)
    records = prepare_pictures(name, img_size=32, channels=3, **QUIET)
    stored = pixels_of(records, "train")
    assert len(stored) == (40 if name == "cifar10" else 8)
    np.testing.assert_array_equal(stored["train/00003"], shapes(8, 32, 3)[0][3])
    names = singer_names(read_info(records))
    assert names == (["airplane", "automobile"] if name == "cifar10" else ["00", "01"])


def test_a_pickle_with_code_is_refused(home):
    folder = write_cifar(home)
    (folder / "test_batch").write_bytes(b"cos\nsystem\n(S'touch pwned'\ntR.")
    with pytest.raises(DataError, match="Expected the cifar10 dataset"):
        prepare_pictures("cifar10", img_size=32, channels=3, **QUIET)
    assert not (folder.parents[2] / "pwned").exists()


def test_a_missing_dataset_says_where_its_file_belongs(home, monkeypatch):
    def refused(*_, **__):
        raise OSError("no network")

    monkeypatch.setattr("keras.datasets.mnist.load_data", refused)
    with pytest.raises(EnvironmentFault, match=r"no network.*mnist.npz.*into .*keras/datasets"):
        prepare_pictures("mnist", **QUIET)


def test_batches_of_pictures(folder):
    records = prepare_pictures(str(folder), img_size=8, **QUIET)
    label = {"label": Input("item", "int32", 2, embedding=4)}

    def windows(split, training):
        return Windows(
            records,
            split,
            64,
            4,
            signal=Image(8, 8, 3, 5),
            inputs=label,
            inputs_of=lambda clip, x: {"label": np.int32(clip.singer)},
            training=training,
        )

    train = windows("train", True)
    batch = train.batch(3)
    assert set(batch) == {"x", "label"}
    assert (batch["x"].shape, batch["x"].dtype) == ((4, 8, 8, 3), np.float32)
    stored = pixels_of(records, "train")
    for x, y, id in zip(batch["x"], batch["label"], train.clip_names(3), strict=True):
        np.testing.assert_array_equal(np.floor(x * 32), stored[id] >> 3)
        assert y == ["bar", "square"].index(id.split("/")[0])
    np.testing.assert_array_equal(batch["x"], windows("train", True).batch(3)["x"])
    seen = [name for step in range(train.steps) for name in train.clip_names(step)][: train.clips]
    assert sorted(seen) == sorted(stored)
    held = windows("validation", False)
    assert sum(len(held.batch(step)["x"]) for step in range(held.steps)) == held.clips == 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image": [8]}, "image as height and width"),
        ({"image": [8, 1 << 20]}, "image as height and width"),
        ({"image": [9, 8]}, "72 pixels of every train picture"),
        ({"classes": {"a": 1}}, "classes with the ids"),
    ],
)
def test_descriptions_that_do_not_fit_are_refused(folder, change, message):
    records = prepare_pictures(str(folder), img_size=8, **QUIET)
    path = records / "dataset_info.json"
    info = {**json.loads(path.read_text()), **change}
    path.write_text(json.dumps(info))
    with pytest.raises(DataError, match=message):
        Clips(records, read_info(records), "train").samples(0)


def test_the_verb_prepare_writes_records_of_pictures(folder, tmp_path):
    done = command(
        ["prepare", str(folder), "--img_size", "8", "--channel_size", "3", "-o", "out"], tmp_path
    )
    assert done.code == 0, done.err
    assert read_info(tmp_path / "out")["image"] == [8, 8]
    with pytest.raises(DataError, match="Give --img_size and --channel_size"):
        prepare_pictures(str(tmp_path / "out"), img_size=16, **QUIET)
    assert prepare_pictures(str(tmp_path / "out"), img_size=8, **QUIET) == tmp_path / "out"


def test_records_of_pictures_are_no_recordings(folder, tmp_path):
    records = prepare_pictures(str(folder), img_size=8, **QUIET)
    with pytest.raises(DataError, match="Expected records of recordings"):
        prepare(records)
    with pytest.raises(DataError, match="Expected records of recordings"):
        read_recordings(records)
    with pytest.raises(UsageError, match="which holds records"):
        prepare_pictures(str(records), tmp_path / "new", img_size=8, **QUIET)


def test_a_folder_with_the_name_of_a_dataset_does_not_hide_it(home):
    prepare_pictures("digits", "digits", img_size=4, channels=1, **QUIET)
    records = prepare_pictures("digits", img_size=8, channels=1, **QUIET)
    assert read_info(records)["image"] == [8, 8]
    assert records.parent.name == "data"


def test_changes_of_the_pictures_are_described(folder):
    records = prepare_pictures(str(folder), img_size=8, **QUIET)
    assert describe_changes(records, str(folder)) == ""
    added = folder / "bar" / "new.png"
    Picture.fromarray(shapes(1, 8, 3)[0][0]).save(added)
    assert "1 picture(s) were added: bar/new" in describe_changes(records, str(folder))
    added.unlink()
    next((folder / "bar").iterdir()).unlink()
    assert "1 picture(s) were removed: bar/" in describe_changes(records, str(folder))
