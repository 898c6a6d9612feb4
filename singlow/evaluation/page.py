"""A migration's report as one HTML page: players, spectrograms, numbers; it needs no server."""

import base64
import html
import io
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import soundfile

from singlow.evaluation import voice
from singlow.evaluation.migration import Migrated, Report, Sound

LONGEST = 12.0  # seconds of a song that the page plays
_STYLE = """
:root { color-scheme: light dark; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2.2rem; }
table { border-collapse: collapse; margin: 1rem 0; }
th, td { padding: .25rem .8rem; text-align: right; border-bottom: 1px solid #8884; }
th:first-child, td:first-child { text-align: left; }
.pair { display: grid; grid-template-columns: repeat(auto-fit, minmax(20rem, 1fr)); gap: 1rem; }
audio, img { width: 100%; } figure { margin: 0; } figcaption { color: #777; }
"""


def write_page(report: Report, title: str, about: Sequence[str], sample_rate: int) -> str:
    """The report as HTML, with all sounds and pictures inside.

    Args:
        report: what `measure_migration` returned.
        title: plain text.
        about: paragraphs of plain text.
        sample_rate: Hz of its sounds.
    """
    parts = [f"<h1>{html.escape(title)}</h1>", *(f"<p>{html.escape(text)}</p>" for text in about)]
    parts += ["<h2>Score of the classifier</h2>", _scores(report)]
    parts += ["<h2>What moved</h2>", _table(_HEAD_VOICE, _voices(report))]
    parts += [_picture(_envelopes(report, sample_rate), "mean spectra of what sounds")]
    parts += ["<h2>What must not have moved</h2>", _table(_HEAD_KEPT, map(_kept, report.songs))]
    for song in report.songs:
        parts.append(f"<h2>{html.escape(song.before.name)}</h2>{_pair(song, report, sample_rate)}")
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width"><title>{html.escape(title)}</title>'
        f"<style>{_STYLE}</style></head><body>{''.join(parts)}</body></html>\n"
    )


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
    distance = np.mean([voice.cepstral_distance(sound.cepstrum, wanted) for sound in sounds])
    forms = ("{:.1f}", "{:.0f}", "{:.3f}", "{:.1f}", "{:.1f}")
    scaled = (values[0], values[1], 100 * values[2], values[3], distance)
    return [shown_number(form, value) for form, value in zip(forms, scaled, strict=True)]


def mean_of(sounds: Sequence[Sound], key: str) -> float:
    """Mean of a field of `Voice` over the recordings that have it; nan for none."""
    return finite_mean([getattr(sound.voice, key) for sound in sounds])


def finite_mean(values: Sequence[float]) -> float:
    """Mean of those that are finite; nan for none."""
    known = [value for value in values if np.isfinite(value)]
    return float(np.mean(known)) if known else float("nan")


def _kept(song: Migrated) -> tuple[str, ...]:
    return (
        song.before.name,
        shown_number("{:.4f}", song.pitch),
        shown_number("{:.1f}", song.cents),
        shown_number("{:+.2f}", song.loudness),
        shown_number("{:+.3f}", song.seconds),
        shown_number("{:.1f}", song.to_source),
    )


def shown_number(form: str, value: float) -> str:
    """The number in its form; "none" for one that is not finite."""
    return form.format(value) if np.isfinite(value) else "none"


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    cells = "".join(f"<th>{html.escape(name)}</th>" for name in head)
    body = "".join(
        "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in rows
    )
    return f"<table><tr>{cells}</tr>{body}</table>"


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
    return f"<p>{told}</p>{_table(head, rows)}"


def _pair(song: Migrated, report: Report, sample_rate: int) -> str:
    loudest = max(1.0, *(float(np.abs(s.audio).max()) for s in (song.before, song.after)))
    captions = "A: the song", f"B: migrated, strength {report.strength:g}"
    figures = []
    for sound, caption in zip((song.before, song.after), captions, strict=True):
        audio = sound.audio[: round(LONGEST * sample_rate)]
        player = f'<audio controls preload="none" src="{_wav(audio / loudest, sample_rate)}">'
        picture = _picture(_spectrogram(audio, sample_rate), caption)
        figures.append(f"<figure>{player}</audio>{picture}</figure>")
    return f'<div class="pair">{"".join(figures)}</div>'


def _wav(audio: np.ndarray, sample_rate: int) -> str:
    file = io.BytesIO()
    soundfile.write(file, audio, sample_rate, subtype="PCM_16", format="WAV")
    return f"data:audio/wav;base64,{base64.b64encode(file.getvalue()).decode()}"


def _picture(png: bytes, caption: str) -> str:
    source = f"data:image/png;base64,{base64.b64encode(png).decode()}"
    text = html.escape(caption)
    return f'<img src="{source}" alt="{text}"><figcaption>{text}</figcaption>'


def _spectrogram(audio: np.ndarray, sample_rate: int) -> bytes:
    figure, axes = _figure(6.4, 3.2)
    size = 2 ** int(np.ceil(np.log2(0.03 * sample_rate)))
    audible = np.pad(audio, (0, max(0, size - len(audio))))
    audible = audible + 1e-6 * np.random.default_rng(0).standard_normal(len(audible))
    axes.specgram(audible, NFFT=size, Fs=sample_rate, noverlap=3 * size // 4, vmin=-130, vmax=-30)
    axes.set_xlabel("seconds")
    axes.set_ylabel("Hz")
    return _png(figure)


def _envelopes(report: Report, sample_rate: int) -> bytes:
    import librosa

    figure, axes = _figure(7.2, 3.2)
    bands = librosa.mel_frequencies(voice.MELS, fmax=sample_rate / 2)
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
    return _png(figure)


def _figure(width: float, height: float) -> tuple[Any, Any]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=100, layout="tight")
    FigureCanvasAgg(figure)
    return figure, figure.add_subplot()


def _png(figure: Any) -> bytes:
    file = io.BytesIO()
    figure.savefig(file, format="png")
    return file.getvalue()
