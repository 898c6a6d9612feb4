"""A migration's report as a page: players, spectrograms, numbers."""

import html
from collections.abc import Iterable, Sequence

import numpy as np

from singlow.evaluation import measures, page
from singlow.evaluation.figures import finite_mean, shown_number
from singlow.evaluation.migration import Migrated, Report, Sound


def write_page(report: Report, title: str, about: Sequence[str], sample_rate: int) -> str:
    """The report as HTML, with all sounds and pictures inside.

    Args:
        report: what `measure_migration` returned.
        title: plain text.
        about: paragraphs of plain text.
        sample_rate: Hz of its sounds.
    """
    parts = ["<h2>Score of the classifier</h2>", _scores(report)]
    parts += ["<h2>What moved</h2>", page.table(_HEAD_VOICE, _voices(report))]
    parts += [page.picture(_envelopes(report, sample_rate), "mean spectra of what sounds")]
    kept = page.table(_HEAD_KEPT, map(_kept, report.songs))
    parts += ["<h2>What must not have moved</h2>", kept]
    for song in report.songs:
        parts.append(f"<h2>{html.escape(song.before.name)}</h2>{_pair(song, report, sample_rate)}")
    return page.document(title, about, parts)


_HEAD_VOICE = ("", "vibrato, Hz", "vibrato, cents", "jitter, %", "breath, dB", "to target, dB")
_HEAD_KEPT = (
    "",
    "pitch correlation",
    "pitch, cents",
    "loudness, dB",
    "duration, s",
    "mel-cepstral distance to the song, dB",
)


def _voices(report: Report) -> list[tuple[str, ...]]:
    wanted = np.mean([sound.cepstrum for sound in report.target], axis=0)
    groups = {
        "source, originals": report.source,
        "songs": [song.before for song in report.songs],
        "songs, migrated": [song.after for song in report.songs],
        "target, originals": report.target,
    }
    return [(name, *_voice(sounds, wanted)) for name, sounds in groups.items()]


def _voice(sounds: Sequence[Sound], wanted: np.ndarray) -> Iterable[str]:
    keys = ("vibrato_rate", "vibrato_depth", "jitter", "breath")
    values = [mean_of(sounds, key) for key in keys]
    distance = np.mean([measures.cepstral_distance(sound.cepstrum, wanted) for sound in sounds])
    forms = ("{:.1f}", "{:.0f}", "{:.3f}", "{:.1f}", "{:.1f}")
    scaled = (values[0], values[1], 100 * values[2], values[3], distance)
    return [shown_number(form, value) for form, value in zip(forms, scaled, strict=True)]


def mean_of(sounds: Sequence[Sound], key: str) -> float:
    """Mean of a field of `Voice` over the recordings that have it; nan for none."""
    return finite_mean([getattr(sound.voice, key) for sound in sounds])


def _kept(song: Migrated) -> tuple[str, ...]:
    return (
        song.before.name,
        shown_number("{:.4f}", song.pitch),
        shown_number("{:.1f}", song.cents),
        shown_number("{:+.2f}", song.loudness),
        shown_number("{:+.3f}", song.seconds),
        shown_number("{:.1f}", song.to_source),
    )


def _scores(report: Report) -> str:
    strengths = sorted(report.songs[0].positions)
    rows = [
        (song.before.name, *(f"{song.positions[s]:.2f}" for s in strengths))
        for song in report.songs
    ]
    rows.append(("mean", *(f"{report.position(s):.2f}" for s in strengths)))
    told = f"0 is the mean of the source's originals, 1 of the target's; told apart in \
{100 * report.accuracy:.0f} % of the clips that it was not fitted to."
    head = ("strength", *(f"{s:g}" for s in strengths))
    return f"<p>{told}</p>{page.table(head, rows)}"


def _pair(song: Migrated, report: Report, sample_rate: int) -> str:
    loudest = max(1.0, *(float(np.abs(s.audio).max()) for s in (song.before, song.after)))
    captions = "A: the song", f"B: migrated, strength {report.strength:g}"
    sounds = zip((song.before, song.after), captions, strict=True)
    return page.pair(
        page.recording(sound.audio / loudest, sample_rate, caption) for sound, caption in sounds
    )


def _envelopes(report: Report, sample_rate: int) -> bytes:
    import librosa

    figure, axes = page.drawing(7.2, 3.2)
    bands = librosa.mel_frequencies(measures.MELS, fmax=sample_rate / 2)
    groups = {
        "source": report.source,
        "songs": [song.before for song in report.songs],
        "migrated": [song.after for song in report.songs],
        "target": report.target,
    }
    for (name, sounds), line in zip(groups.items(), ("--", "-", "-", "--"), strict=True):
        axes.plot(bands, np.mean([sound.envelope for sound in sounds], axis=0), line, label=name)
    axes.set_xlabel("Hz")
    axes.set_ylabel("dB about the mean")
    axes.legend()
    return page.png(figure)
