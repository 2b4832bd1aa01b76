"""`tocsin up`: every service as a child process, restarted when it dies, stopped in order."""
