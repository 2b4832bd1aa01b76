"""A shop that has incidents: realistic metrics, and rules that notice."""
