"""Characters by which two names could look the same, or one could hide another.

Facts about Unicode that user ids and room names share; what a name is, is decided elsewhere.
"""

from __future__ import annotations

import re
from typing import Final

INVISIBLE: Final = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)
"""One character that shows as nothing although Unicode does not file it under control or format:
fillers, variation selectors, the empty Braille pattern."""

MAX_MARKS: Final = 4
"""Marks that may stand on one letter: enough for every living script. More is a flood that paints
over the neighbours."""
