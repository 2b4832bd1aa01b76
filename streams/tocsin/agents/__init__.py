"""The engine on Faust: agents that feed the steps from Kafka, send what they return, and keep their state in tables."""
