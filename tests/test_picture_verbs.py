"""Test the verbs on a run of images: latents, samples, migration, figures and their errors."""

import json

import numpy as np
import pytest
from PIL import Image as Picture

import singlow
from singlow.data.sources.pictures import load_named
from singlow.errors import DataError
from singlow.latents import pictures
from tests.conftest import untraced
from tests.songs import singlow as command


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with a run `p` on a part of the digits, a few pictures, and no classes hidden."""
    folder = tmp_path_factory.mktemp("pictures")
    digits = load_named("digits")
    for clip, pixels in zip(digits.clips[:300], digits.pixels[:300], strict=True):
        if clip.singer in "018":
            path = folder / "set" / clip.singer / f"{clip.id.split('/')[1]}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Picture.fromarray(pixels[..., 0]).save(path)
    places = {"checkpoints": folder / "checkpoints", "logs": folder / "logs"}
    small = {"epochs": 1, "steps_per_epoch": 30, "batch_size": 16, "learning_rate": 0.01}
    with untraced():
        singlow.train(preset="glow_tiny", dataset=folder / "set", run="p", **small, **places)
    return folder


def run(arguments, place, code=0):
    done = command(list(map(str, arguments)), place)
    assert done.code == code, done.err
    assert "Traceback" not in done.err
    return done


def pixels(path):
    return np.asarray(Picture.open(path))


def test_samples_are_pictures_of_a_class(place):
    lines = run(["sample", "p", "--count", 4, "-o", "samples"], place).out.splitlines()
    assert len(lines) == 4
    assert pixels(place / lines[0]).shape == (8, 8)
    run(["sample", "p", "--count", 1, "--label", 8, "-o", "eight.png"], place)
    assert pixels(place / "eight.png").shape == (8, 8)
    assert not (pixels(place / "eight.png") == pixels(place / lines[0])).all()


def test_latents_restore_a_picture_to_its_stored_bits(place):
    source = next((place / "set" / "1").iterdir())
    run(["encode", "p", source, "-o", "one.npz"], place)
    run(["decode", "p", "one.npz", "-o", "one.png"], place)
    np.testing.assert_array_equal(pixels(place / "one.png") >> 4, pixels(source) >> 4)
    code = pictures.read_code(place / "one.npz")
    assert code.label in "018"
    assert [latent.ndim for latent in code.latents] == [3, 3]
    run(["encode", "p", place / "set" / "0", "-o", "codes", "--label", "0"], place)
    codes = sorted((place / "codes").iterdir())
    assert len(codes) == len(list((place / "set" / "0").iterdir()))
    assert pictures.read_code(codes[0]).label == "0"


def test_interpolation_begins_and_ends_with_the_pictures(place):
    ends = [next((place / "set" / name).iterdir()) for name in "08"]
    run(["interpolate", "p", *ends, "-o", "between", "--steps", 3], place)
    paths = sorted((place / "between").iterdir())
    assert len(paths) == 3
    for path, end in zip((paths[0], paths[-1]), ends, strict=True):
        np.testing.assert_array_equal(pixels(path) >> 4, pixels(end) >> 4)


def test_migration_moves_by_the_difference_of_means(place):
    source = next((place / "set" / "0").iterdir())
    run(["migrate", "p", source, "--from", 0, "--to", 1, "--strength", 0, "-o", "still.png"], place)
    np.testing.assert_array_equal(pixels(place / "still.png") >> 4, pixels(source) >> 4)
    run(["migrate", "p", source, "--from", 0, "--to", 1, "-o", "moved.png"], place)
    assert not (pixels(place / "moved.png") == pixels(place / "still.png")).all()
    opened = singlow.open_run("p", checkpoints=place / "checkpoints")
    means = pictures.class_means(opened)
    z = pictures.encode(opened, source, "0").latents
    x = pictures.migrate(opened, [source], means, "0", "1", 0.5)[0]
    inputs = pictures.inputs_for(opened, [0])
    again = opened.coder.encode({"x": x[None], **inputs})
    for level, direction in enumerate(means.direction("0", "1")):
        np.testing.assert_allclose(
            np.asarray(again[level])[0], z[level] + 0.5 * direction, atol=1e-3
        )


def test_figures_of_likelihood_migration_and_separation(place):
    out = run(["evaluate", "p"], place).out
    assert all(name in out for name in ("PNG", "independent pixels", "bits per dimension"))
    out = run(["evaluate", "p", "--migration", "--from", 0, "-o", "page.html"], place).out
    assert "moved by 1 as the target" in out
    assert (place / "page.html").read_text().count("<img") == 2
    out = run(["project", "p", "-o", "latents"], place).out
    assert "Classes: 0, 1, 8." in out
    figures = json.loads((place / "latents" / "figures.json").read_text())
    assert figures["parts"]["the picture's pixels"][0] > 0.8
    assert "class" in figures["answer"]


def test_a_damaged_picture_is_left_out_of_a_projection(place):
    few = place / "few"
    for name in "018":
        (few / name).mkdir(parents=True)
        for path in sorted((place / "set" / name).iterdir())[: 2 if name == "8" else 6]:
            (few / name / path.name).write_bytes(path.read_bytes())
    (few / "0" / "broken.png").write_bytes(b"nothing")
    done = run(["project", "p", "few", "-o", "latents"], place)
    assert "12 pictures, 2 classes" in done.out
    assert "broken.png: Expected a picture" in done.err
    assert "class 8: 2 picture(s)" in done.err


def test_it_passes_its_check(place):
    out = run(["check", "p"], place).out
    assert "held-out pictures" in out
    assert "8 x 8 positions" in out


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["sample", "p", "--label", "7", "-o", "s"], 2, "class"),
        (["sample", "p", "--seconds", "1", "-o", "s"], 2, "Expected no --around"),
        (["encode", "p", "set/0", "--speaker", "a", "-o", "c"], 2, "--speaker for a run of sound"),
        (["encode", "p", "bad.png", "-o", "x.npz"], 3, "bad.png: Expected a picture"),
        (["decode", "p", "bad.npz", "-o", "x.png"], 3, "bad.npz: Expected latents of a picture"),
        (["migrate", "p", "set/0", "-o", "m"], 2, "the classes, for pictures"),
        (["migrate", "p", "set/0", "--from", "0", "--to", "5", "-o", "m"], 2, "class"),
        (
            ["migrate", "p", "set/0", "--from", "0", "--to", "1", "--method", "slerp", "-o", "m"],
            2,
            "Expected method difference",
        ),
        (["evaluate", "p", "--conversion"], 2, "Expected migration for a run of images"),
    ],
)
def test_mistakes_get_one_line(place, arguments, code, message):
    for name in ("bad.png", "bad.npz"):
        (place / name).write_bytes(b"nothing")
    done = run(arguments, place, code)
    assert message in done.err
    assert len(done.err.strip().splitlines()) == 1
    assert not {path.name for path in place.iterdir()} & {"s", "c", "m", "x.npz", "x.png"}


def test_damaged_latents_are_refused(place, tmp_path):
    source = next((place / "set" / "1").iterdir())
    run(["encode", "p", source, "-o", "whole.npz"], place)
    content = (place / "whole.npz").read_bytes()
    rng = np.random.default_rng(0)
    for number in range(40):
        damaged = bytearray(content)
        for at in rng.integers(0, len(content), 3):
            damaged[at] ^= int(rng.integers(1, 256))
        path = tmp_path / f"{number}.npz"
        path.write_bytes(damaged[: len(content) // 2] if number % 4 == 0 else damaged)
        try:
            code = pictures.read_code(path)
        except DataError:
            continue
        assert all(np.isfinite(latent).all() for latent in code.latents)
