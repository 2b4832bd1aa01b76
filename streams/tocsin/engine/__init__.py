"""The pure engine: steps from a state and an input to a state and outputs. No clock, no Kafka, no network."""
