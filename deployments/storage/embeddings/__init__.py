"""Embedding jobs and embedding spaces."""
