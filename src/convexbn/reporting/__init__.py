"""Reporting: from tables to verdicts and figures."""
