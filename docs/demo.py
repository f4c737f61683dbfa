"""Write one handwritten digit that no training saw as a picture, and draw it on the terminal."""

import sys

from mobilenets import load_dataset

SHADES = (" ", "░", "▒", "▓", "█")


def draw_digit(path: str) -> None:
    """Write the first test picture to ``path`` and print it."""
    dataset = load_dataset("digits")
    picture = dataset.test.pictures[0].open().convert("L")
    picture.save(path)
    for row in range(picture.height):
        print("".join(2 * SHADES[picture.getpixel((column, row)) // 52] for column in range(picture.width)))
    print(f"This is a {dataset.labels[dataset.test.targets[0]]}.")


if __name__ == "__main__":
    draw_digit(sys.argv[1])
