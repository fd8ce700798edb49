"""A command, from its receipt to its end."""

from __future__ import annotations

import typing
from typing import Any

if typing.TYPE_CHECKING:
    from argus_exporter.discordpy.interactions import Receipt


class Run:
    """A command that runs, or has ended.

    :ivar key: the id of the interaction, or ``id()`` of the context: no address is as large as an id of Discord's.
    :ivar subject: its interaction or context, as long as it runs.
    :ivar began: when its interaction or message was received, or, as long as its receipt was not looked for, when it
        began itself; by ``time.perf_counter``. nan where that is not known.
    :ivar type: one of :data:`argus_exporter.catalogue.COMMAND_TYPES`, a hybrid's as it was used; empty as long as its
        receipt was not looked for.
    :ivar receipt: that of the interaction; None for prefix commands.
    :ivar completed: whether discord.py has said that it completed.
    :ivar error: what discord.py has told the error handlers; at the end the cause under discord.py's wrappers.

    At the end there are also:

    :ivar command: its qualified name, such as ``group sub command``; ``other`` if there is no such command.
    :ivar outcome: one of :data:`argus_exporter.catalogue.OUTCOMES`.
    :ivar seconds: from its receipt to its end.
    :ivar shard: over which it came; known where there is an error.
    """

    # what most of them never have costs nothing in the class
    type: str = ""
    receipt: Receipt | None = None
    completed: bool = False
    error: BaseException | None = None
    shard: str = ""
    command: str
    outcome: str
    seconds: float

    def __init__(self, key: int, subject: Any, began: float) -> None:
        self.key = key
        self.subject = subject
        self.began = began

    def date(self, receipt: Receipt) -> None:
        """Its interaction was received before it began."""
        self.type, self.began, self.receipt = receipt.type, receipt.received, receipt
