"""Labels: names of classes, as every task has them."""

from __future__ import annotations

import unicodedata

from mobilenets.errors import ModelError


def check_labels(labels: tuple[str, ...]) -> None:
    """Refuse labels that a Model file cannot hold.

    Args:
        labels: Names of the classes, in the order of the outputs.

    Raises:
        ModelError: If they are not a tuple of strings, or one cannot be printed.
    """
    if not isinstance(labels, tuple) or not all(isinstance(label, str) for label in labels):
        raise ModelError(f"labels must be a tuple of strings, not {labels!r:.80}")
    for label in labels:
        if not is_label(label):
            raise ModelError(f"label {label!r:.80} holds a control character or is not Unicode text")


def is_label(text: str) -> bool:
    """Whether a class may be called so.

    Labels are printed, so they hold no control characters, and written as UTF-8, so they hold no lone surrogates.

    >>> is_label("zebra crossing 🦓"), is_label("a\\nb"), is_label("\\udcff")
    (True, False, False)
    """
    # Printable text holds neither, and nearly every label is printable.
    return text.isprintable() or not any(unicodedata.category(character) in ("Cc", "Cs") for character in text)
