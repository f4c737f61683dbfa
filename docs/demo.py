"""Write one handwritten digit that no training saw as an image, and draw it on the terminal."""

import sys

from mobilenets import load_dataset

SHADES = (" ", "░", "▒", "▓", "█")


def draw_digit(path: str) -> None:
    """Write the first test image to ``path`` and print it."""
    dataset = load_dataset("digits")
    image = dataset.test.images[0].open().convert("L")
    image.save(path)
    for row in range(image.height):
        print("".join(2 * SHADES[image.getpixel((column, row)) // 52] for column in range(image.width)))
    print(f"This is a {dataset.labels[dataset.test.targets[0]]}.")


if __name__ == "__main__":
    draw_digit(sys.argv[1])
