"""Promotion: scores become a verdict, and a verdict a deployment."""
