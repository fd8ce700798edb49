"""Many lines in few datagrams: a datagram costs microseconds and a line nanoseconds."""

from __future__ import annotations

import typing

if typing.TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator


def packed(
    lines: Iterable[bytes], limit: int, too_long: Callable[[bytes], object] | None = None
) -> Iterator[tuple[bytes, int]]:
    r"""Join lines by ``\n``, in their order, to datagrams, each with the number of its lines.

    A line that holds lines of its own stays in one datagram, and counts as one.

    :param limit: bytes that a datagram may have.
    :param too_long: is told of a line that is longer than that, which is left out.
    """
    batch: list[bytes] = []
    size = -1
    for line in lines:
        length = len(line)
        if length > limit:
            if too_long is not None:
                too_long(line)
            continue
        size += length + 1
        if size > limit:
            yield b"\n".join(batch), len(batch)
            batch, size = [], length
        batch.append(line)
    if batch:
        yield b"\n".join(batch), len(batch)
