"""Orders, and their invoices."""
