"""Webhooks: endpoints, announcements, deliveries and their attempts."""
