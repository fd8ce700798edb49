"""Draws the boards without a Grafana: their queries on a real Prometheus, their panels on their grid."""
