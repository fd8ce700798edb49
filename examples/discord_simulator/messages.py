"""The messages of late, so that REST can fetch, edit and delete them."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

from . import payloads

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .payloads import Json
    from .world import World

_KEPT = 10_000


class Messages:
    """Messages by id, oldest first; the oldest are forgotten."""

    def __init__(self, world: World) -> None:
        self.world = world
        self._kept: OrderedDict[int, Json] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def new(self, channel_id: int, author: Json, content: str, fields: Json | None = None) -> Json:
        """A new message, kept. `fields` are set on top."""
        message = payloads.message(self.world.ids.new(), channel_id, author, content) | (fields or {})
        return self.keep(message)

    def keep(self, message: Json) -> Json:
        """Keep a message."""
        self._kept[int(message["id"])] = message
        if len(self._kept) > _KEPT:
            self._kept.popitem(last=False)
        return message

    def get(self, message_id: int) -> Json | None:
        """A message by its id."""
        return self._kept.get(message_id)

    def edit(self, message_id: int, fields: Json) -> Json | None:
        """Change a message."""
        message = self._kept.get(message_id)
        if message is not None:
            message |= fields | {"edited_timestamp": self.world.clock.iso()}
        return message

    def delete(self, message_id: int) -> Json | None:
        """Forget a message."""
        return self._kept.pop(message_id, None)

    def of_channel(self, channel_id: int) -> Iterator[Json]:
        """A channel's messages, newest first."""
        where = str(channel_id)
        return (message for message in reversed(self._kept.values()) if message["channel_id"] == where)

    def latest(self, channel_id: int) -> Json | None:
        """A channel's newest message."""
        return next(self.of_channel(channel_id), None)
