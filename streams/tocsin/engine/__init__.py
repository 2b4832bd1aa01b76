"""The pure engine: steps that take a state and an input and return a state and outputs. No clock, no Kafka, no network."""
