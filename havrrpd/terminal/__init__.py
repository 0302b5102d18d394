"""What people see on a terminal: tables, colours, and watching a node."""
