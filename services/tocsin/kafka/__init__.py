"""Kafka itself: the embedded broker, the clients' settings, and the topics a cluster must have."""
