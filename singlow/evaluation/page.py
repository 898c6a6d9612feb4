"""HTML pages that embed their sounds and pictures: they need no server and load nothing."""

import base64
import html
import io
from collections.abc import Iterable, Sequence

import numpy as np
import soundfile

from singlow.pictures import spectrogram
from singlow.streams import escape

LONGEST = 12.0  # seconds of a recording that a page plays
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


def document(title: str, about: Sequence[str], parts: Iterable[str]) -> str:
    """Return a page as HTML.

    Args:
        title: title of the page, plain text.
        about: paragraphs of plain text.
        parts: the rest of the body as HTML.
    """
    head = [f"<h1>{plain(title)}</h1>", *(f"<p>{plain(text)}</p>" for text in about)]
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width"><title>{plain(title)}</title>'
        f"<style>{_STYLE}</style></head><body>{''.join([*head, *parts])}</body></html>\n"
    )


def plain(text: str) -> str:
    """Return plain text as HTML; control characters and bytes that are not text are escaped."""
    return html.escape(escape(text))


def heading(text: str) -> str:
    """Return a heading of plain text."""
    return f"<h2>{plain(text)}</h2>"


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Return a table of plain text."""
    cells = "".join(f"<th>{plain(name)}</th>" for name in head)
    body = "".join(
        "<tr>" + "".join(f"<td>{plain(cell)}</td>" for cell in row) + "</tr>" for row in rows
    )
    return f"<table><tr>{cells}</tr>{body}</table>"


def pair(figures: Iterable[str]) -> str:
    """Return figures side by side, as many in a row as fit."""
    return f'<div class="pair">{"".join(f"<figure>{figure}</figure>" for figure in figures)}</div>'


def recording(audio: np.ndarray, sample_rate: int, caption: str) -> str:
    """Return a player of the first `LONGEST` seconds of a recording, and their spectrogram.

    Args:
        audio: `(time,)` within +-1.
        sample_rate: Hz.
        caption: plain text.
    """
    from matplotlib import image

    audio, file = audio[: round(LONGEST * sample_rate)], io.BytesIO()
    image.imsave(file, spectrogram(audio, sample_rate), format="png")
    return player(audio, sample_rate) + picture(file.getvalue(), caption)


def player(audio: np.ndarray, sample_rate: int) -> str:
    """Return a player of `audio` `(time,)` within +-1."""
    file = io.BytesIO()
    soundfile.write(file, audio, sample_rate, subtype="PCM_16", format="WAV")
    source = f"data:audio/wav;base64,{base64.b64encode(file.getvalue()).decode()}"
    return f'<audio controls preload="none" src="{source}"></audio>'


def picture(png: bytes, caption: str) -> str:
    """Return a PNG picture above its caption, which is plain text."""
    source = f"data:image/png;base64,{base64.b64encode(png).decode()}"
    text = plain(caption)
    return f'<img src="{source}" alt="{text}"><figcaption>{text}</figcaption>'
