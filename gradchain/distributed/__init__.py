"""Several devices: where states lie, what is sent."""
