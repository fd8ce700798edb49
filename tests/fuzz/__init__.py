"""Hostile inputs for whatever takes text or bytes from others: one declaration a target, for hypothesis and atheris."""
