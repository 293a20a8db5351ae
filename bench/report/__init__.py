"""What was measured, as numbers, tables, plots and a page; and how two measurements compare."""
