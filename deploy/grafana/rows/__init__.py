"""The dashboard's rows: one file each."""
