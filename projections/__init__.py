"""Folds and tables: the views of the log that are read, and every query that reads them."""
