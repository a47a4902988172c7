"""Functions of the step that remember how they were made, and their algebra."""
