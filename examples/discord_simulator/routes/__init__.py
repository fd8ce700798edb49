"""The REST routes, by what they are about. Importing this package declares them all."""

from . import commands, guilds, interactions, messages, users, webhooks

__all__ = ["commands", "guilds", "interactions", "messages", "users", "webhooks"]
