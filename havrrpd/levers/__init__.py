"""Actions carried out on the outside world."""
