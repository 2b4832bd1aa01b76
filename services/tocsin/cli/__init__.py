"""The command line: a file for each group; each parses, calls, prints. Imports are late: start-up counts."""
