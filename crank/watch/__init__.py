"""Watching matches: what a page shows, the page itself, and its server."""
