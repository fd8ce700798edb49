"""The one place that reads discord.py's private attributes and replaces any of its methods.

Each of them is probed, has a fallback, and has a test per supported version. What is replaced is replaced on the
instance, remembers what was there, and is given back by :meth:`ClientView.close`. Only ``_scheduled_task`` is replaced
on discord.py's classes, for views are the user's objects: once for all exporters of a process, by client.

==================================================  =================================================================
read or replaced                                    without it
==================================================  =================================================================
``Client._connection._update_references``           events are counted by a public ``wait_for`` predicate, dispatches
                                                    by shard from the sequence; close codes are not known
``DiscordWebSocket._dispatch``                      the same
``DiscordWebSocket.socket.close``                   a close is seen at the next websocket of the shard or at a sample
``DiscordWebSocket._keep_alive``                    no ACK times; the latency is public
``DiscordWebSocket._close_code``                    every close is the server's
``DiscordWebSocket.identify``, ``.resume``          IDENTIFYs are not counted down between two polls
``DiscordWebSocket.request_chunks``                 requests for members are not counted
``ConnectionState.parsers``                         guilds by shard are counted anew at most once a minute; members are
                                                    absent; interactions are received by public events;
                                                    prefix commands last from their invocation
``ConnectionState._command_tree``                   app commands are not seen
``CommandTree._call``                               public ``on_error`` and completions: an app command whose own
                                                    error handler raises is not seen, nor one that a check of the
                                                    tree refused
``CommandTree._guild_commands``                     commands that one guild has for itself are not counted as
                                                    registered
``CommandTree._context_menus``                      nor are menus
``CommandTree._global_commands``                    a new command is known within a minute
``ConnectionState._guilds``                         ``Client.guilds``, which copies
``ConnectionState._users``                          the number of cached users is absent
``ConnectionState._view_store``                     the same of views and modals
``ViewStore._views``, ``._modals``                  the same
``View._scheduled_task``, ``Modal._scheduled_task`` when handlers of views and modals end is not known
``ViewStore.schedule_dynamic_item_call``            nor when those of dynamic items do
``ShardInfo._parent``                               shards that are connected at the load are seen from their next
                                                    websocket on
``AutoShardedClient.__queue``                       the length of the queue is absent
``HTTPClient.__session``, its ``_request``          requests are seen by ``http_trace=argus_exporter.http_trace()`` only
``HTTPClient.request``                              how long discord.py waited is not known
``HTTPClient._global_over``                         nor how long for the global limit, and whether there is one is
                                                    absent
``HTTPClient._buckets``                             their number is absent
``Client._listeners``                               the dispatch is never skipped
``Client._run_event``                                listeners' errors are seen by ``on_error``, their durations not
``tasks.Loop.coro``                                 iterations are not counted; a loop's state is public
``tasks.Loop._last_iteration``                      the interval between times of day is absent
``tasks.Loop._last_iteration_failed``               a loop that retries when it is found is seen to at its next failure
==================================================  =================================================================
"""

from __future__ import annotations

from argus_exporter.discordpy.commands import CommandListener
from argus_exporter.discordpy.interactions import InteractionListener, Receipt
from argus_exporter.discordpy.listeners import EventListener
from argus_exporter.discordpy.loops import Followed, Loops
from argus_exporter.discordpy.patches import Patches
from argus_exporter.discordpy.runs import Run
from argus_exporter.discordpy.sockets import Heart, is_fatal
from argus_exporter.discordpy.subjects import command_of, shard_of, user_id_of
from argus_exporter.discordpy.trace import http_trace
from argus_exporter.discordpy.view import ClientView, GatewayListener, SessionStartLimit
from argus_exporter.discordpy.wire import Exchange, HttpListener

__all__ = (
    "ClientView",
    "CommandListener",
    "EventListener",
    "Exchange",
    "Followed",
    "GatewayListener",
    "Heart",
    "HttpListener",
    "InteractionListener",
    "Loops",
    "Patches",
    "Receipt",
    "Run",
    "SessionStartLimit",
    "command_of",
    "http_trace",
    "is_fatal",
    "shard_of",
    "user_id_of",
)
