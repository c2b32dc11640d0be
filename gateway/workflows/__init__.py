"""Workflows of jobs and deliveries: the port, durable ones in DBOS, and tasks of this process."""
