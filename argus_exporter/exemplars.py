"""The trace that is active where something is measured, from OpenTelemetry where that is installed."""

from __future__ import annotations

import typing

from argus_exporter.settings import SettingError, variable_of

if typing.TYPE_CHECKING:
    from collections.abc import Callable


def active_trace(wanted: bool | None, errors: Callable[[str, BaseException], None]) -> Callable[[], str] | None:  # noqa: FBT001
    """Make what tells the id of the active trace: 32 hexadecimal digits, or "" where none is; from any thread.

    A trace counts where its span's context is valid and sampled, as in OpenTelemetry's own exemplar filter
    ``trace_based``: another one is nowhere to be looked up.

    :param wanted: None takes OpenTelemetry if it is installed.
    :param errors: is told what a tracer of the user's raises.
    :return: None if there are to be no exemplars.
    :raises SettingError: if it is wanted, and not installed.
    """
    if wanted is False:
        return None
    try:
        from opentelemetry.trace import get_current_span  # noqa: PLC0415 - it may not be there, or not be wanted
    except ImportError:
        if wanted:
            msg = f"{variable_of('exemplars')}='on' is not allowed: OpenTelemetry is not installed (opentelemetry-api)"
            raise SettingError(msg) from None
        return None

    def active() -> str:
        try:
            context = get_current_span().get_span_context()
            trace = f"{context.trace_id:032x}" if context.is_valid and context.trace_flags.sampled else ""
        except Exception as error:  # noqa: BLE001 - the observation counts without it
            errors("exporter", error)
            trace = ""
        return trace

    return active
