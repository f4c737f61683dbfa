"""What people read: the paper's tables and reports on Models."""
