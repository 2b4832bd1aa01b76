"""The management service: HTTP over the projection; writes go to Kafka, and are read back from there."""
