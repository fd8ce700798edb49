"""A local Discord that an unmodified discord.py client logs in to: for tests, benchmarks and game days."""

from .client import Pointing, point_at
from .limits import DISCORD, QUICK, Limits
from .simulator import Simulator

__all__ = ["DISCORD", "QUICK", "Limits", "Pointing", "Simulator", "point_at"]
