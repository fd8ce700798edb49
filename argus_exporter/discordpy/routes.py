"""From an address to the template of its route, so that no id, token, code or emoji ever becomes a label.

Pure: whatever goes in, what comes out is one of ``TEMPLATES``, ``cdn`` or ``other``.
"""

from __future__ import annotations

from typing import Final

from argus_exporter.catalogue import OTHER

API: Final = "https://discord.com/api/v10"
"""Where discord.py sends requests, unless ``discord.http.Route.BASE`` says otherwise."""

CDN: Final = "cdn"
"""What stands for all of Discord's files: avatars, attachments, emojis."""

CALLBACK: Final = "/interactions/{interaction_id}/{interaction_token}/callback"
"""The route by which an interaction gets its first response."""

TEMPLATES: Final = (
    "/applications/@me",
    "/applications/{application_id}/activity-instances/{instance_id}",
    "/applications/{application_id}/commands",
    "/applications/{application_id}/commands/{command_id}",
    "/applications/{application_id}/emojis",
    "/applications/{application_id}/emojis/{emoji_id}",
    "/applications/{application_id}/entitlements",
    "/applications/{application_id}/entitlements/{entitlement_id}",
    "/applications/{application_id}/entitlements/{entitlement_id}/consume",
    "/applications/{application_id}/guilds/{guild_id}/commands",
    "/applications/{application_id}/guilds/{guild_id}/commands/permissions",
    "/applications/{application_id}/guilds/{guild_id}/commands/{command_id}",
    "/applications/{application_id}/guilds/{guild_id}/commands/{command_id}/permissions",
    "/applications/{application_id}/role-connections/metadata",
    "/applications/{application_id}/skus",
    "/auth/logout",
    "/channels/{channel_id}",
    "/channels/{channel_id}/followers",
    "/channels/{channel_id}/invites",
    "/channels/{channel_id}/messages",
    "/channels/{channel_id}/messages/bulk-delete",
    "/channels/{channel_id}/messages/pins",
    "/channels/{channel_id}/messages/pins/{message_id}",
    "/channels/{channel_id}/messages/{message_id}",
    "/channels/{channel_id}/messages/{message_id}/crosspost",
    "/channels/{channel_id}/messages/{message_id}/reactions",
    "/channels/{channel_id}/messages/{message_id}/reactions/{emoji}",
    "/channels/{channel_id}/messages/{message_id}/reactions/{emoji}/@me",
    "/channels/{channel_id}/messages/{message_id}/reactions/{emoji}/{user_id}",
    "/channels/{channel_id}/messages/{message_id}/threads",
    "/channels/{channel_id}/permissions/{overwrite_id}",
    "/channels/{channel_id}/pins",
    "/channels/{channel_id}/pins/{message_id}",
    "/channels/{channel_id}/polls/{message_id}/answers/{answer_id}",
    "/channels/{channel_id}/polls/{message_id}/expire",
    "/channels/{channel_id}/recipients/{user_id}",
    "/channels/{channel_id}/send-soundboard-sound",
    "/channels/{channel_id}/thread-members",
    "/channels/{channel_id}/thread-members/@me",
    "/channels/{channel_id}/thread-members/{user_id}",
    "/channels/{channel_id}/threads",
    "/channels/{channel_id}/threads/archived/private",
    "/channels/{channel_id}/threads/archived/public",
    "/channels/{channel_id}/typing",
    "/channels/{channel_id}/users/@me/threads/archived/private",
    "/channels/{channel_id}/voice-status",
    "/channels/{channel_id}/webhooks",
    "/gateway",
    "/gateway/bot",
    "/guilds",
    "/guilds/templates/{template_code}",
    "/guilds/{guild_id}",
    "/guilds/{guild_id}/audit-logs",
    "/guilds/{guild_id}/auto-moderation/rules",
    "/guilds/{guild_id}/auto-moderation/rules/{rule_id}",
    "/guilds/{guild_id}/bans",
    "/guilds/{guild_id}/bans/{user_id}",
    "/guilds/{guild_id}/bulk-ban",
    "/guilds/{guild_id}/channels",
    "/guilds/{guild_id}/emojis",
    "/guilds/{guild_id}/emojis/{emoji_id}",
    "/guilds/{guild_id}/incident-actions",
    "/guilds/{guild_id}/integrations",
    "/guilds/{guild_id}/integrations/{integration_id}",
    "/guilds/{guild_id}/integrations/{integration_id}/sync",
    "/guilds/{guild_id}/invites",
    "/guilds/{guild_id}/members",
    "/guilds/{guild_id}/members/@me",
    "/guilds/{guild_id}/members/@me/nick",
    "/guilds/{guild_id}/members/search",
    "/guilds/{guild_id}/members/{user_id}",
    "/guilds/{guild_id}/members/{user_id}/roles/{role_id}",
    "/guilds/{guild_id}/messages/search",
    "/guilds/{guild_id}/mfa",
    "/guilds/{guild_id}/onboarding",
    "/guilds/{guild_id}/preview",
    "/guilds/{guild_id}/prune",
    "/guilds/{guild_id}/regions",
    "/guilds/{guild_id}/roles",
    "/guilds/{guild_id}/roles/member-counts",
    "/guilds/{guild_id}/roles/{role_id}",
    "/guilds/{guild_id}/scheduled-events",
    "/guilds/{guild_id}/scheduled-events/{event_id}",
    "/guilds/{guild_id}/scheduled-events/{event_id}/users",
    "/guilds/{guild_id}/soundboard-sounds",
    "/guilds/{guild_id}/soundboard-sounds/{sound_id}",
    "/guilds/{guild_id}/stickers",
    "/guilds/{guild_id}/stickers/{sticker_id}",
    "/guilds/{guild_id}/templates",
    "/guilds/{guild_id}/templates/{template_code}",
    "/guilds/{guild_id}/threads/active",
    "/guilds/{guild_id}/vanity-url",
    "/guilds/{guild_id}/voice-states/@me",
    "/guilds/{guild_id}/voice-states/{user_id}",
    "/guilds/{guild_id}/webhooks",
    "/guilds/{guild_id}/welcome-screen",
    "/guilds/{guild_id}/widget",
    "/guilds/{guild_id}/widget.json",
    "/guilds/{guild_id}/widget.png",
    CALLBACK,
    "/invites/{invite_code}",
    "/oauth2/@me",
    "/oauth2/applications/@me",
    "/oauth2/token",
    "/skus/{sku_id}/subscriptions",
    "/skus/{sku_id}/subscriptions/{subscription_id}",
    "/soundboard-default-sounds",
    "/stage-instances",
    "/stage-instances/{channel_id}",
    "/sticker-packs",
    "/sticker-packs/{pack_id}",
    "/stickers/{sticker_id}",
    "/users/@me",
    "/users/@me/applications/{application_id}/role-connection",
    "/users/@me/channels",
    "/users/@me/connections",
    "/users/@me/guilds",
    "/users/@me/guilds/{guild_id}",
    "/users/@me/guilds/{guild_id}/member",
    "/users/{user_id}",
    "/users/{user_id}/channels",
    "/voice/regions",
    "/webhooks/{webhook_id}",
    "/webhooks/{webhook_id}/{webhook_token}",
    "/webhooks/{webhook_id}/{webhook_token}/github",
    "/webhooks/{webhook_id}/{webhook_token}/messages/@original",
    "/webhooks/{webhook_id}/{webhook_token}/messages/{message_id}",
    "/webhooks/{webhook_id}/{webhook_token}/slack",
)
"""Every route of discord.py 2.4 to 2.7, and those of Discord's documentation that bots ask for by themselves."""

_CDN_HOST: Final = "cdn.discordapp.com"
_CDN_HOSTS: Final = ".discordapp.net"
_API_HOSTS: Final = ("discord.com", "discordapp.com", "ptb.discord.com", "canary.discord.com")


class _Node:
    """Where a segment of a path leads to, and the template that ends here."""

    __slots__ = ("literals", "other", "template")

    def __init__(self, other: _Node | None = None) -> None:
        self.literals: dict[str, _Node] = {}
        self.other = other or self
        self.template = OTHER


_NOWHERE: Final = _Node()


def _tree() -> _Node:
    root = _Node(_NOWHERE)
    for template in TEMPLATES:
        node = root
        for segment in template.split("/"):
            node = _below(node, segment)
        node.template = template
    return root


def _below(node: _Node, segment: str) -> _Node:
    if not segment.startswith("{"):
        return node.literals.setdefault(segment, _Node(_NOWHERE))
    if node.other is _NOWHERE:
        node.other = _Node(_NOWHERE)
        node.literals[""] = _NOWHERE  # nothing is no id
    return node.other


_TREE: Final = _tree()


def template(url: str, api: str = API, cdn: str = "https://" + _CDN_HOST) -> str:
    """The route of an address, or of a path below the API's base.

    :param api: the base of the API in use.
    :param cdn: the base of the CDN in use.
    :return: one of ``TEMPLATES``; ``cdn`` for what is read from there; ``other`` for an unknown route or host.
    """
    path = url if url.startswith("/") else path_of(url, api)
    return place_of(url, cdn) if path is None else template_of(path)


def template_of(path: str) -> str:
    """The template of a path below the API's base; literals are preferred to parameters."""
    node = _TREE
    for segment in (path.partition("?")[0] if "?" in path else path).split("/"):
        node = node.literals.get(segment, node.other)
    return node.template


def path_of(url: str, api: str = API) -> str | None:
    """What follows the base of Discord's API, of any version of it; None for an address that is not of the API."""
    if url.startswith(api):
        path = url[len(api) :]
        if path[:1] == "/":
            return path
    host, path = _parted(url)
    if host not in _API_HOSTS or not path.startswith("/api/"):
        return None
    below = path[4:]
    version, slash, rest = below[1:].partition("/")
    return slash + rest if version[:1] == "v" and version[1:].isdecimal() else below


def place_of(url: str, cdn: str) -> str:
    """What stands for an address that is not of the API."""
    host, _ = _parted(url)
    is_cdn = host == _CDN_HOST or host.endswith(_CDN_HOSTS) or url.startswith(cdn + "/")
    return CDN if is_cdn else OTHER


def _parted(url: str) -> tuple[str, str]:
    """Host and path; by hand, because :mod:`urllib.parse` raises for some of what can stand in an address."""
    authority, slash, path = url.partition("://")[2].partition("/")
    return authority.rpartition("@")[2].partition(":")[0].lower(), slash + path
