"""Results for people: rich tables for the terminal (tables.py) and the HTML report."""

from .html import write_report
from .provenance import provenance

__all__ = ["provenance", "write_report"]
