"""Webhooks: endpoints, announcements, deliveries and their attempts, signed as in Standard Webhooks."""
