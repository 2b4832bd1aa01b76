"""What the API reads: a copy of the topics in SQL, made by following them, and made anew when it is lost."""
