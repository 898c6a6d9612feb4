"""The sounds of Japanese in its usual writing."""

import contextlib
import io
import re
from dataclasses import dataclass
from types import ModuleType
from typing import ClassVar

from singlow.text.front_end import FrontEnd, is_spoken, missing_package
from singlow.text.symbols import PUNCTUATION

_PHONEMES = (
    "a i u e o A I U E O N cl b by ch d dy f fy g gw gy h hy j k kw ky m my n ny p py r ry s sh t "
    "ts ty v w y z zy"
).split()
_MARKS = re.compile("([" + re.escape(PUNCTUATION) + "])")


@dataclass(frozen=True)
class Japanese(FrontEnd):
    """The phonemes of Japanese in its usual writing, from the package pyopenjtalk-plus.

    Capital vowels are unvoiced, "N" is an n that is a mora of its own, and "cl" is the first half
    of a double consonant. Numbers and Latin letters are read as Open JTalk reads them.
    """

    name: ClassVar[str] = "japanese"
    language: str = "ja"

    @property
    def alphabet(self) -> tuple[str, ...]:
        """The phonemes of Open JTalk, and the punctuation."""
        return (*_PHONEMES, *PUNCTUATION)

    def symbols(self, text: str) -> list[str]:
        """Return the phonemes and the punctuation.

        Raises:
            EnvironmentFault: pyopenjtalk-plus is not installed.
        """
        openjtalk = self._package()
        symbols: list[str] = []
        for part in _MARKS.split(text):
            if not part or part in PUNCTUATION:
                symbols += part
                continue
            unknown = [char for char in part if not is_spoken(char)]
            spoken = "".join(char for char in part if is_spoken(char))
            if spoken:
                phonemes = openjtalk.g2p(spoken, join=False)
                symbols += [phoneme for phoneme in phonemes if phoneme not in ("pau", "sil")]
            symbols += unknown
        return symbols

    def _package(self) -> ModuleType:
        try:
            with contextlib.redirect_stdout(io.StringIO()):  # it prints advice when imported
                import pyopenjtalk
        except ImportError:
            raise missing_package(self.name, "pyopenjtalk-plus", "japanese") from None
        return pyopenjtalk
