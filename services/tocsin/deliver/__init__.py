"""Delivery: notifications leave for email, Slack, webhooks and the console."""
