"""Feature migration moves latents to the target and keeps the song's other properties."""

import json
import os
import subprocess
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import soundfile

from singlow.audio import Mixdown, load_audio, resample, snr_db
from singlow.errors import UsageError
from singlow.latents import approach as approach_module
from singlow.latents import features as features_module
from singlow.latents import methods as methods_module
from singlow.latents import migrate as migrate_module
from singlow.latents.features import (
    Features,
    SingerFeatures,
    features_of,
    measure_features,
    read_features,
    write_features,
)
from singlow.latents.interpolate import around, between, towards
from singlow.latents.methods import METHODS, move, slerp, transport, transport_maps
from singlow.latents.migrate import add_change, changed_blocks, migrate_audio, migrate_song
from tests.datasets import write_noise
from tests.songs import coloured_noise, singlow, trained

ROOT = Path(__file__).resolve().parents[1]
LONG = """
import json, resource, sys
import numpy as np
import soundfile
from singlow.audio import write_blocks
from singlow.latents.migrate import migrate

def peak(seconds):
    rng = np.random.default_rng(0)
    noise = (0.05 * rng.standard_normal((44100, 2), np.float32) for _ in range(seconds))
    write_blocks("long.wav", noise, 44100, 2)
    migrate("t", "long.wav", "ada", "bo", output="moved.wav")
    assert soundfile.info("moved.wav").frames == 44100 * seconds
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

few, many = (peak(seconds) for seconds in (10, 180))
print(json.dumps(many - few))
"""


@pytest.fixture
def place(tmp_path):
    """A folder with the trained run `t` and a stereo song."""
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "t").symlink_to(trained()[0] / "checkpoints" / "t")
    soundfile.write(tmp_path / "song.wav", coloured_noise(5, 1.234, 44100, 2), 44100)
    return tmp_path


@pytest.fixture(scope="module")
def flow():
    from singlow.runs.opening import load_flow
    from singlow.runs.run import find

    run = find("t", trained()[0] / "checkpoints")
    return load_flow(run.config, run.checkpoint())


@pytest.fixture(scope="module")
def sides(flow):
    """Features of two sides: noise with a dark spectrum, and noise with a bright one."""
    dark = measure_features(flow, [coloured_noise(seed, 1.0) for seed in (1, 2)])
    bright = [np.diff(coloured_noise(seed, 1.0), axis=0) for seed in (3, 4)]
    return dark, measure_features(flow, bright)


@pytest.fixture(scope="module")
def channels(flow):
    """The number of channels in each level of the latents."""
    return [shape[-1] for shape in flow.latent_shapes(1, flow.multiple)]


def mixed(seed, matrix, frames=60000):
    """Return noise whose channels depend on each other and on their past."""
    white = np.random.default_rng(seed).standard_normal((frames + 1, len(matrix)))
    return (white[1:] @ matrix + 0.5 * white[:-1] + seed).astype(np.float32)


def level_of(z):
    return features_of([z], np.ones((len(z), 1), np.float32), 16000).levels[0]


def test_features_are_sums_over_what_sounds():
    z = mixed(1, np.eye(3), 4000)
    audio = np.ones((4000, 1), np.float32)
    audio[2000:] = 1e-4
    level = features_of([z], audio, 100).levels[0]
    assert 1990 <= level.count <= 2010
    kept = z[: int(level.count)]
    np.testing.assert_allclose(level.mean, kept.mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(level.deviation, kept.std(axis=0), rtol=1e-3)
    both = Features(1, (level,)) + Features(1, (level,))
    assert both.clips == 2
    np.testing.assert_allclose(both.levels[0].mean, level.mean)
    np.testing.assert_allclose(both.levels[0].windows, 2 * level.windows)


def test_transport_gives_the_spectra_of_the_target():
    rng = np.random.default_rng(0)
    source, target = (mixed(seed, np.eye(3) + 0.3 * rng.standard_normal((3, 3))) for seed in (1, 2))
    moved = level_of(transport(source, level_of(source), level_of(target)))
    wanted, before = level_of(target), level_of(source)
    np.testing.assert_allclose(moved.mean, before.mean, atol=1e-3)
    off = np.abs(moved.spectra - wanted.spectra).max()
    assert off < 0.15 * np.abs(before.spectra - wanted.spectra).max()


def test_transport_moves_least():
    """Its maps are Hermitian and positive, as those of optimal transport are."""
    rng = np.random.default_rng(1)
    source, target = (
        level_of(mixed(seed, np.eye(4) + 0.3 * rng.standard_normal((4, 4)))) for seed in (1, 2)
    )
    maps = transport_maps(source, target)
    np.testing.assert_allclose(maps, maps.conj().swapaxes(1, 2), atol=1e-9)
    assert np.linalg.eigvalsh(maps).min() > 0
    np.testing.assert_allclose(
        maps @ source.spectra @ maps.conj().swapaxes(1, 2), target.spectra, atol=1e-6
    )


@pytest.mark.parametrize("frames", [1, 7, 16, 17, 1000])
def test_transport_has_no_joins_and_takes_any_length(monkeypatch, frames):
    source, target = (level_of(mixed(seed, np.eye(2))) for seed in (1, 2))
    z = mixed(3, np.eye(2), frames)
    whole = transport(z, source, target)
    assert whole.shape == z.shape
    assert whole.dtype == z.dtype
    monkeypatch.setattr(methods_module, "_BLOCK", 3)
    np.testing.assert_allclose(transport(z, source, target), whole, atol=1e-5)
    np.testing.assert_allclose(transport(z, source, source), z, atol=1e-4)


def test_moments_and_difference_have_those_of_the_target():
    source, target = mixed(1, np.eye(3)), mixed(2, 2 * np.eye(3))
    levels = level_of(source), level_of(target)
    moved = METHODS["moments"](source, *levels)
    np.testing.assert_allclose(moved.mean(axis=0), target.mean(axis=0), atol=1e-3)
    np.testing.assert_allclose(moved.std(axis=0), target.std(axis=0), rtol=1e-3)
    moved = METHODS["difference"](source, *levels)
    np.testing.assert_allclose(moved.mean(axis=0), target.mean(axis=0), atol=1e-3)
    np.testing.assert_allclose(moved.std(axis=0), source.std(axis=0), rtol=1e-3)
    middle = METHODS["midpoint"](source, *levels)
    np.testing.assert_allclose(2 * middle - source, np.tile(levels[1].mean, (60000, 1)), atol=1e-3)


def test_slerp_keeps_the_norm():
    z, other = np.random.default_rng(0).standard_normal((2, 500, 8)).astype(np.float32)
    np.testing.assert_allclose(slerp(z, other, 0.0), z, atol=1e-5)
    np.testing.assert_allclose(slerp(z, other, 1.0), other, atol=1e-5)
    np.testing.assert_allclose(slerp(z, z, 0.3), z, atol=1e-5)
    norms = [np.linalg.norm(slerp(z, other, s)) for s in (0, 0.5, 1)]
    assert norms[1] == pytest.approx((norms[0] + norms[2]) / 2, rel=1e-2)
    assert np.linalg.norm(0.5 * (z + other)) < 0.8 * norms[1]


@pytest.mark.parametrize("method", METHODS)
def test_strength_0_and_equal_sides_are_the_song_itself(flow, sides, method):
    song = coloured_noise(9, 0.7, 22050, 2)
    still = migrate_song(flow, song, 22050, *sides, strength=0.0, method=method)
    same = migrate_song(flow, song, 22050, sides[0], sides[0], method=method)
    assert still.tobytes() == same.tobytes() == song.tobytes()


def test_a_small_strength_restores_the_song_at_80_db(flow, sides):
    audio = coloured_noise(9, 0.7)
    barely = migrate_audio(flow, audio, *sides, strength=1e-9)
    assert barely.tobytes() != audio.tobytes()
    assert snr_db(audio, barely) >= 80


@pytest.mark.parametrize("method", METHODS)
def test_more_strength_moves_further(flow, sides, method):
    audio = coloured_noise(9, 0.7)
    moved = [migrate_audio(flow, audio, *sides, s, method) - audio for s in (0.1, 0.3, 0.9)]
    sizes = [float(np.square(change).sum()) for change in moved]
    assert 0 < sizes[0] < sizes[1] < sizes[2]


def test_latents_reach_the_target(flow, sides):
    """Deviations approach the target's, up to a factor, before the low band is reduced."""
    from singlow.latents.codes import encode_song

    def away(features):
        pairs = zip(features.levels, sides[1].levels, strict=True)
        ratios = np.concatenate([np.log(own.deviation / to.deviation) for own, to in pairs])
        return np.linalg.norm(ratios - ratios.mean())

    audio = coloured_noise(9, 2.0)
    song = encode_song(flow, audio)
    moved = approach_module.approach(flow, audio, song, move(song.latents, *sides), 1.0)
    before, after = (measure_features(flow, [sound]) for sound in (audio, moved))
    assert away(after) < 0.5 * away(before)


def test_the_low_band_moves_little(flow, sides, monkeypatch):
    """Noise among the harmonics of a voice would be audible as roughness."""
    audio = coloured_noise(9, 1.0)
    held = migrate_audio(flow, audio, *sides) - audio
    monkeypatch.setattr(migrate_module, "BELOW", 1.0)
    free = migrate_audio(flow, audio, *sides) - audio
    frequency = np.fft.rfftfreq(len(audio), 1 / 16000)
    below, above = frequency < 500, frequency > 2500
    held, free = (np.square(np.abs(np.fft.rfft(change[:, 0]))) for change in (held, free))
    assert held[below].sum() < 0.25 * free[below].sum()
    assert held[above].sum() > 0.5 * free[above].sum()


def test_silence_stays_silent(flow, sides):
    audio = coloured_noise(9, 1.0)
    audio[6000:] = 0
    moved = migrate_audio(flow, audio, *sides)
    assert np.abs(moved[:6000] - audio[:6000]).max() > 1e-3
    assert not moved[8000:].any()


def test_other_levels_stay(flow, sides):
    from singlow.latents.codes import encode_song

    latents = encode_song(flow, coloured_noise(9, 0.7)).latents
    moved = move(latents, *sides, levels=[1])
    assert moved[0] is latents[0]
    assert not np.allclose(moved[1], latents[1])
    with pytest.raises(UsageError, match="levels from 0"):
        move(latents, *sides, levels=[2])
    with pytest.raises(UsageError, match="Expected a method"):
        move(latents, *sides, method="magic")


def test_rate_length_channels_and_the_band_above_are_kept(flow, sides):
    song = coloured_noise(9, 0.7, 44100, 2)
    moved = migrate_song(flow, song, 44100, *sides)
    assert moved.shape == song.shape
    change = moved - song
    np.testing.assert_allclose(change[:, 0], change[:, 1], atol=1e-6)
    power = np.square(np.abs(np.fft.rfft(change[:, 0] * np.hanning(len(change)))))
    frequency = np.fft.rfftfreq(len(change), 1 / 44100)
    assert power[frequency > 8500].sum() < 1e-6 * power.sum()


@pytest.mark.parametrize("rate", [8000, 16000, 48000])
@pytest.mark.parametrize("length", [1, 100, 4801])
def test_songs_of_any_rate_and_length(flow, rate, length):
    song = coloured_noise(2, 2.0, rate)[:length]
    moved = add_change(flow, song, rate, lambda audio: 0.5 * audio)
    assert moved.shape == song.shape
    assert np.isfinite(moved).all()
    if length > 1000 and rate <= 16000:
        assert snr_db(0.5 * song[100:-100], moved[100:-100]) > 20


def test_bursts_are_moved_less_and_the_rest_is_not(flow, sides, monkeypatch):
    audio = coloured_noise(9, 1.0)
    decode = approach_module.decode_song

    def bursting(flow, song, inputs=None):
        """Decode, with a burst whose height grows with the distance from `audio`."""
        decoded = decode(flow, song, inputs).copy()
        part = slice(8000, 8200)
        far = np.abs(decoded[part] - audio[part]).max()
        decoded[part] += 3000 * far * np.sign(decoded[part])
        return decoded

    for module in (approach_module, migrate_module):
        monkeypatch.setattr(module, "match_loudness", lambda contour, decoded, rate: decoded)
    plain = migrate_audio(flow, audio, *sides)
    monkeypatch.setattr(approach_module, "decode_song", bursting)
    calm = migrate_audio(flow, audio, *sides)
    assert np.abs(calm).max() < 2 * np.abs(audio).max()
    np.testing.assert_allclose(calm[:5000], plain[:5000], atol=1e-4)
    monkeypatch.setattr(approach_module, "BURST", 1000.0)
    assert np.abs(migrate_audio(flow, audio, *sides)).max() > 1.5 * np.abs(calm).max()


def test_loudness_is_the_songs_own(flow, sides):
    audio = coloured_noise(9, 2.0) * np.linspace(0.1, 1, 32000, dtype=np.float32)[:, None]
    moved = migrate_audio(flow, audio, *sides)
    before, after = (np.square(x.reshape(-1, 3200)).mean(axis=1) for x in (audio, moved))
    assert np.abs(10 * np.log10(after / before)).max() < 0.5


def test_interpolation_begins_and_ends_with_the_songs(flow):
    first, second = coloured_noise(1, 0.5), coloured_noise(2, 0.7)
    steps = list(between(flow, first, second, 3))
    assert [len(step) for step in steps] == [8000, 9600, 11200]
    assert (steps[0] == first).all()
    assert (steps[2] == second).all()
    wanted = (np.square(first[:8000]).mean() + np.square(second[:8000]).mean()) / 2
    assert np.square(steps[1][:8000]).mean() == pytest.approx(wanted, rel=0.05)


def test_towards_and_around(flow):
    audio, other = coloured_noise(1, 0.5), coloured_noise(2, 0.3)
    assert towards(flow, audio, other, 0.0) is audio
    near, far = (np.square(towards(flow, audio, other, s) - audio).mean() for s in (0.2, 0.9))
    assert 0 < near < far
    assert around(flow, audio, 0.0, 0) is audio
    near, far = (np.square(around(flow, audio, t, 0) - audio).mean() for t in (0.2, 0.9))
    assert 0 < near < far
    assert (around(flow, audio, 0.5, 1) == around(flow, audio, 0.5, 1)).all()
    assert (around(flow, audio, 0.5, 1) != around(flow, audio, 0.5, 2)).any()


class TestFeaturesKept:
    def test_are_read_as_they_were_written(self, sides, channels, tmp_path):
        path = tmp_path / "a.npz"
        write_features(path, sides[0], "mark")
        read = read_features(path, "mark", channels)
        assert read.clips == 2
        for level, other in zip(read.levels, sides[0].levels, strict=True):
            for key, value in vars(level).items():
                np.testing.assert_array_equal(value, getattr(other, key))
        assert read_features(path, "another", channels) is None
        assert read_features(tmp_path / "none.npz", "mark", channels) is None

    def test_are_measured_again_when_they_cannot_be_used(self, sides, channels, tmp_path):
        path = tmp_path / "a.npz"
        write_features(path, sides[0], "mark")
        whole = path.read_bytes()
        with np.load(path) as archive:
            arrays = dict(archive)
        for key, value in (
            ("second_0", np.zeros((1, 2, 2), complex)),
            ("total_1", np.full(len(arrays["total_1"]), np.nan)),
            ("mark", np.array(["mark"], object)),
            ("clips", None),
        ):
            spoilt = {**arrays, key: value}
            spoilt = {name: array for name, array in spoilt.items() if array is not None}
            np.savez(path, **spoilt)
            assert read_features(path, "mark", channels) is None, key
        for content in (b"", b"nonsense", whole[:-50], whole[40:]):
            path.write_bytes(content)
            assert read_features(path, "mark", channels) is None

    def test_follow_weights_and_data(self, flow, tmp_path, monkeypatch):
        from singlow.runs.run import find

        data = find("t", trained()[0] / "checkpoints").config["data"]["directory"]
        known = SingerFeatures(flow, data, tmp_path / "kept", "one")
        assert known.names == ["ada", "bo"]
        measured = known["ada"]
        assert measured.clips == 2
        (path,) = (tmp_path / "kept").iterdir()
        written = path.read_bytes()

        def never(*_):
            raise AssertionError("measured again")

        with monkeypatch.context() as patched:
            patched.setattr(features_module, "measure_features", never)
            again = SingerFeatures(flow, data, tmp_path / "kept", "one")["ada"]
            np.testing.assert_array_equal(again.levels[0].second, measured.levels[0].second)
            with pytest.raises(AssertionError, match="measured again"):
                SingerFeatures(flow, data, tmp_path / "kept", "two")["ada"]
        SingerFeatures(flow, data, tmp_path / "kept", "two")["ada"]
        assert path.read_bytes() != written

    def test_sizes_are_checked_before_memory_is_taken(self, sides, channels, tmp_path):
        """A small file that expands to large arrays and a large file are both refused."""
        path = tmp_path / "a.npz"
        write_features(path, sides[0], "mark")
        assert read_features(path, "mark", channels) is not None
        with np.load(path) as archive:
            arrays = dict(archive)
        size = path.stat().st_size
        for write in (np.savez_compressed, np.savez):
            write(path, **{**arrays, "second_0": np.zeros((9, 600, 600), complex)})
            tracemalloc.start()
            assert read_features(path, "mark", channels) is None
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
            assert peak < 4 * size + (1 << 20)

    def test_of_another_flow_are_measured_again(self, sides, channels, tmp_path):
        path = tmp_path / "a.npz"
        write_features(path, sides[0], "mark")
        assert read_features(path, "mark", channels) is not None
        assert read_features(path, "mark", [*channels, channels[-1]]) is None
        assert read_features(path, "mark", channels[:1]) is None
        assert read_features(path, "mark", [2 * channels[0], *channels[1:]]) is None

    def test_of_names_that_are_no_text_or_composed_otherwise(self, flow, tmp_path):
        names = ("\udc89\udcb9", "Zoé")
        data = write_noise(
            tmp_path / "data", {"train": [16000] * 4, "validation": [16000]}, singers=names
        )
        known = SingerFeatures(flow, data, tmp_path / "kept", "mark")
        for name, typed in ((names[0], r"\x89\xb9"), (names[1], "Zoe\u0301")):
            assert known[typed] is known[name]
            assert known[typed].clips == len(known.clips(typed)) == 2
        with pytest.raises(
            UsageError, match=r"in Zoé, \\x89\\xb9. Received: Zoo. Did you mean Zoé"
        ):
            known["Zoo"]

    def test_are_used_where_they_cannot_be_kept(self, flow, tmp_path):
        from singlow.runs.run import find

        data = find("t", trained()[0] / "checkpoints").config["data"]["directory"]
        (tmp_path / "kept").write_text("a file")
        lines = []
        known = SingerFeatures(flow, data, tmp_path / "kept", "one", lines.append)
        assert known["ada"].clips == 2
        assert "cannot be kept for the next time" in lines[0]


def test_the_verb(place):
    arguments = ["migrate", "t", "song.wav", "--from", "ada", "--to", "bo"]
    for strength in ("0", "1"):
        name = f"{strength}.wav"
        outcome = singlow([*arguments, "--strength", strength, "-o", name], place)
        assert outcome.code == 0, outcome.err
    song, rate = load_audio(place / "song.wav")
    still, moved = (load_audio(place / f"{name}.wav")[0] for name in "01")
    assert still.tobytes() == song.tobytes()
    assert rate == soundfile.info(place / "1.wav").samplerate == 44100
    assert moved.shape == song.shape
    assert np.abs(moved - song).max() > 1e-4
    assert singlow([*arguments[:-1], "ada", "-o", "same.wav"], place).code == 0
    assert load_audio(place / "same.wav")[0].tobytes() == song.tobytes()
    assert len(list((trained()[0] / "checkpoints/t/features").glob("*.npz"))) == 2


def test_the_library_writes_what_the_verb_writes(place, monkeypatch):
    import singlow as package
    from singlow.latents.migrate import migrate
    from singlow.runs.opening import open_run

    monkeypatch.chdir(place)
    outcome = singlow(
        ["migrate", "t", "song.wav", "--from", "ada", "--to", "bo", "-o", "v.wav"], place
    )
    assert outcome.code == 0, outcome.err
    run = open_run("t")
    written = migrate(run, "song.wav", source="ada", target="bo", output="l.wav")
    assert written == [Path("l.wav")]
    assert load_audio("l.wav")[0].tobytes() == load_audio("v.wav")[0].tobytes()
    soundfile.write("other.wav", coloured_noise(6, 0.5), 16000)
    results = migrate(run, ["song.wav", "other.wav"], "ada", "bo", strength=0.5, output="out")
    assert results == [Path("out/song.wav"), Path("out/other.wav")]
    assert all(path.is_file() for path in results)
    with pytest.raises(UsageError, match="is the song itself"):
        migrate(run, "song.wav", "ada", "bo", output="song.wav")
    with pytest.raises(UsageError, match="different names"):
        migrate(run, ["song.wav", "out/song.wav"], "ada", "bo", output="out")
    with pytest.raises(UsageError, match="strength from 0 to 10"):
        migrate(run, "song.wav", "ada", "bo", strength=11)
    assert package.migrate is migrate


@pytest.mark.parametrize("sign", [0.0, -1.0])
def test_silent_channels_stay_silent_and_opposite_ones_opposite(place, sign):
    song = coloured_noise(5, 1.0, 16000)
    soundfile.write(place / "s.wav", np.concatenate([song, sign * song], axis=1), 16000, "FLOAT")
    outcome = singlow(
        ["migrate", "t", "s.wav", "--from", "ada", "--to", "bo", "-o", "m.wav"], place
    )
    assert outcome.code == 0, outcome.err
    moved, _ = load_audio(place / "m.wav")
    assert np.abs(moved[:, 0] - song[:, 0]).max() > 1e-3
    np.testing.assert_array_equal(moved[:, 1], sign * moved[:, 0])


@pytest.mark.slow
def test_a_long_song_takes_30_mb_a_minute(place):
    done = subprocess.run(
        [sys.executable, "-c", LONG],
        cwd=place,
        env={**os.environ, "PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout.splitlines()[-1]) <= 30 * 170 / 60


def test_a_result_beyond_full_scale_is_a_warning(place):
    loud = coloured_noise(5, 1.0)
    soundfile.write(place / "loud.wav", 0.999 * loud / np.abs(loud).max(), 16000, "PCM_24")
    outcome = singlow(
        ["migrate", "t", "loud.wav", "--from", "ada", "--to", "bo", "--strength", "3", "-o", "a"],
        place,
    )
    assert outcome.code == 0, outcome.err
    peak = np.abs(load_audio(place / "a/loud.wav")[0]).max()
    assert ("above full scale" in outcome.err) == (peak > 1)


def test_references_instead_of_names(place):
    ada, bo = (sorted((trained()[0] / "songs" / name).iterdir()) for name in ("ada", "bo"))
    outcome = singlow(["migrate", "t", "song.wav", "-o", "a", "--reference", *bo], place)
    assert outcome.code == 0, outcome.err
    more = ["--from", "ada", "--method", "moments", "--levels", "1", "-o", "b"]
    outcome = singlow(["migrate", "t", "song.wav", *more, "--reference", *bo], place)
    assert outcome.code == 0, outcome.err
    slerp = ["--method", "slerp", "--strength", "0.5", "-o", "c", "--reference", ada[0]]
    outcome = singlow(["migrate", "t", "song.wav", *slerp], place)
    assert outcome.code == 0, outcome.err
    results = [load_audio(place / name / "song.wav")[0] for name in "abc"]
    assert len({result.tobytes() for result in results}) == 3


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--from", "ada", "--to", "caruso"], 2, "in ada, bo. Received: caruso"),
        (["--from", "ada"], 2, "(--from and --to)"),
        (["--to", "bo"], 2, "with target (--to)"),
        (["--from", "ada", "--to", "bo", "--strength", "nan"], 2, "strength from 0 to 10"),
        (["--from", "ada", "--to", "bo", "--strength", "-1"], 2, "strength from 0 to 10"),
        (["--from", "ada", "--to", "bo", "--levels", "2"], 2, "levels from 0 (the finest) to 1"),
        (["--from", "ada", "--to", "bo", "--method", "magic"], 2, "--method"),
        (["--from", "ada", "--to", "bo", "--reference", "song.wav"], 2, "(--to) or --reference"),
        (
            ["--from", "ada", "--to", "bo", "--method", "slerp"],
            2,
            "--reference FILE with --method slerp",
        ),
        (["--reference", "silent.wav"], 3, "silent.wav: Expected a recording with sound"),
        (["--reference", "missing.wav"], 2, "missing.wav"),
        (["--reference", "text.wav"], 3, "text.wav"),
        (["--reference", "short.wav"], 3, "short.wav: too short"),
        (["--reference", "song.wav", "-o", "song.wav"], 2, "song.wav: is the input itself"),
        (["--reference", "silent.wav", "-o", "silent.wav"], 2, "silent.wav: is the input itself"),
    ],
)
def test_mistakes_are_one_line(place, arguments, code, words):
    soundfile.write(place / "silent.wav", np.zeros(16000), 16000)
    soundfile.write(place / "short.wav", coloured_noise(1, 0.005), 16000)
    (place / "text.wav").write_text("not audio at all")
    outcome = singlow(["migrate", "t", "song.wav", "-o", "out", *arguments], place)
    assert outcome.code == code, outcome.err
    assert words in outcome.err
    assert len(outcome.err.strip().splitlines()) == 1
    assert not (place / "out").exists()


def test_silent_songs_and_too_few_clips(place, flow, tmp_path):
    soundfile.write(place / "silent.wav", np.zeros(16000), 16000)
    outcome = singlow(["migrate", "t", "silent.wav", "-o", "x", "--reference", "song.wav"], place)
    assert outcome.code == 3
    assert "silent.wav: Expected a song with sound" in outcome.err
    data = write_noise(tmp_path / "few", {"train": [16000], "validation": [16000]})
    with pytest.raises(Exception, match="s: Expected at least 2 training clips"):
        SingerFeatures(flow, data, tmp_path / "kept", "mark")["s"]


@pytest.mark.parametrize("rate", [8000, 16000, 44100])
def test_a_change_is_added_in_blocks_of_any_size(rate):
    song, change = coloured_noise(1, 1.0, rate, 2), coloured_noise(2, 1.0)
    both = Mixdown.of_equals(2, 1)
    (whole,) = changed_blocks([song], rate, change, 16000, both)
    cuts = np.array_split(song, [1, 7, 900, 5000])
    parts = list(changed_blocks(cuts, rate, change, 16000, both))
    assert [part.shape for part in parts] == [cut.shape for cut in cuts]
    np.testing.assert_array_equal(np.concatenate(parts), whole)
    wanted = resample(change, 16000, rate)
    np.testing.assert_allclose(whole - song, wanted.repeat(2, axis=1), atol=1e-6)


def test_resampled_songs_stay_in_time(flow):
    """A click keeps its position in time at any sample rate."""
    song = np.zeros((20000, 1), np.float32)
    song[10000] = 1
    for rate in (8000, 44100):
        doubled = add_change(flow, song, rate, lambda audio: 2 * audio)
        assert np.abs(doubled).argmax() == 10000
        assert len(resample(song, rate, 16000)) > 0
