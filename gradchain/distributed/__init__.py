"""Several devices: where states lie, what is sent between them, and what a step costs."""
