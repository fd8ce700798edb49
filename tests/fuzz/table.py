"""All targets."""

from __future__ import annotations

from typing import Any

from tests.fuzz.http import HTTP
from tests.fuzz.options import SETTINGS
from tests.fuzz.pages import LABELS, OWN
from tests.fuzz.routes import ROUTES
from tests.fuzz.statsd import LINES, STATS
from tests.fuzz.target import Target

TARGETS: dict[str, Target[Any]] = {each.name: each for each in (LABELS, OWN, ROUTES, LINES, STATS, SETTINGS, HTTP)}
