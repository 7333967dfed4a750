"""The web server: `create_app` for an ASGI server of your own, `serve` to run it here."""
