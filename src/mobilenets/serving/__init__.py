"""Serving: Models behind HTTP, with a page for people and the Open Inference Protocol for programs.

:func:`~mobilenets.serving.server.serve` is what ``mobilenets serve`` calls. Needs ``pip install 'mobilenets[serve]'``.
"""
