"""Results for people: rich tables for the terminal (tables.py) and the HTML report."""

from .html import write_report

__all__ = ["write_report"]
