"""The loop that joins the core and the world."""
