"""What was replaced on an object, and how to give it back."""

from __future__ import annotations

from typing import Any


class Patches:
    """Attributes that were replaced on instances, and how to give them back."""

    def __init__(self) -> None:
        self._undo: list[tuple[Any, str, Any, Any, bool]] = []

    def set(self, target: Any, name: str, value: Any) -> None:
        """Replace an attribute on an instance, and remember what was there.

        In its ``__dict__``: aiohttp's sessions warn, in asyncio's debug mode, of whoever sets an attribute of theirs.

        :raises AttributeError: if there is no such attribute, or the object has no room for it.
        """
        attributes: dict[str, Any] = target.__dict__
        own = name in attributes
        before = getattr(target, name)
        attributes[name] = value
        self._undo.append((target, name, value, before, own))

    def close(self) -> None:
        """Give back what is still ours; what somebody else has wrapped since is left to them."""
        while self._undo:
            target, name, value, before, own = self._undo.pop()
            attributes: dict[str, Any] = target.__dict__
            if attributes.get(name) is not value:
                continue
            if own:
                attributes[name] = before
            else:
                del attributes[name]
