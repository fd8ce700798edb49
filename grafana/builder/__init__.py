"""Builds the dashboards in ``grafana/dashboards`` and ``grafana/guild_dashboards`` from what ``boards/`` declares.

Queries are written with two abbreviations, so that no board can forget a filter:

* ``*}`` at the end of a selector stands for the filters of the variables job, bot, cluster and instance,
* ``[*]`` stands for ``[$__rate_interval]``.
"""
