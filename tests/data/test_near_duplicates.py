"""Near duplicates: copies that were encoded again, resized or cropped are found, and other images are not."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.conftest import SHARED

from mobilenets.base.progress import SILENT
from mobilenets.data.description import inspected_dataset
from mobilenets.data.image import BytesImage, ImageSource
from mobilenets.data.near_duplicates import find_near_pairs
from mobilenets.data.near_findings import looked_at, near_duplicate_findings
from mobilenets.data.reading import Reading
from mobilenets.data.sources import images_of
from mobilenets.data.subset import Subset

WIDTH, HEIGHT = 200, 160


def scene(seed: int) -> Image.Image:
    """Some rectangles and a texture, as different from those of another seed as two photographs are."""
    rng = np.random.default_rng(seed)
    pixels = np.full((HEIGHT, WIDTH, 3), rng.integers(60, 200, 3), np.float64)
    for _ in range(14):
        top, left = rng.integers(0, HEIGHT - 20), rng.integers(0, WIDTH - 20)
        pixels[top : top + rng.integers(10, 60), left : left + rng.integers(10, 60)] = rng.integers(0, 256, 3)
    return Image.fromarray((pixels + rng.normal(0, 6, pixels.shape)).clip(0, 255).astype(np.uint8))


def source(image: Image.Image, name: str, quality: int = 90) -> BytesImage:
    content = io.BytesIO()
    image.save(content, "JPEG", quality=quality)
    return BytesImage(name, content.getvalue())


def variants(image: Image.Image) -> dict[str, BytesImage]:
    return {
        "encoded again": source(image, "encoded again", 50),
        "smaller": source(image.resize((110, 88), Image.Resampling.LANCZOS), "smaller"),
        "larger": source(image.resize((310, 250), Image.Resampling.BICUBIC), "larger"),
        "cropped": source(image.crop((3, 6, 193, 158)), "cropped"),
        "cropped around": source(image.crop((10, 8, 190, 152)), "cropped around"),
        "cropped at the top": source(image.crop((0, 8, WIDTH, HEIGHT)), "cropped at the top"),
    }


def test_every_kind_of_copy_is_found_and_no_other_image_is_taken_for_one() -> None:
    scenes: list[ImageSource] = [source(scene(seed), f"scene {seed}") for seed in range(40)]
    copies = list(variants(scene(7)).values())
    pairs = {(pair.first, pair.second) for pair in find_near_pairs([*scenes, *copies])}
    assert {(7, 40 + number) for number in range(len(copies))} <= pairs
    assert all(first == 7 or first >= 40 for first, _ in pairs)
    assert find_near_pairs(scenes) == []


def test_only_pairs_with_the_first_images_are_sought_where_there_are_many() -> None:
    images: list[ImageSource] = [source(scene(seed), str(seed)) for seed in (1, 2, 1, 2)]
    everything = [(pair.first, pair.second) for pair in find_near_pairs(images)]
    assert everything == [(0, 2), (1, 3)]
    assert [(pair.first, pair.second) for pair in find_near_pairs(images, queries=1)] == [(0, 2)]


def test_of_very_many_copies_each_image_has_a_partner() -> None:
    images: list[ImageSource] = [source(scene(seed), f"{seed} {copy}") for copy in range(60) for seed in (1, 2)]
    pairs = find_near_pairs(images)
    assert {position for pair in pairs for position in (pair.first, pair.second)} == set(range(120))
    assert all(pair.first % 2 == pair.second % 2 for pair in pairs)


def test_of_very_many_images_evenly_drawn_ones_are_compared() -> None:
    many = [BytesImage(str(number), b"") for number in range(1000)]
    parts = {
        name: Subset(tuple(many[begin:end]), np.arange(begin, end) * 10 // 1000)
        for name, begin, end in (("train", 0, 800), ("validation", 800, 900), ("test", 900, 1000))
    }
    whole = looked_at(parts, 1000, 1000**2)
    assert (whole.queries, whole.parts) == (0, {name: parts[name] for name in ("test", "validation", "train")})
    judged = looked_at(parts, 1000, 2 * 200 * 1000)
    assert judged.queries == 200
    assert {name: len(part) for name, part in judged.parts.items()} == {"test": 100, "validation": 100, "train": 800}
    few = looked_at(parts, 500, 40_000)
    assert few.queries == 40
    assert {name: len(part) for name, part in few.parts.items()} == {"test": 20, "validation": 20, "train": 460}
    assert few.parts["train"].images[0] is many[0]
    assert few.parts["train"].images[-1] is many[799]
    assert {name: set(part.targets) for name, part in few.parts.items()} == {
        name: set(part.targets) for name, part in parts.items()
    }


def test_images_that_show_little_or_cannot_be_read_are_left_out() -> None:
    flat = [source(Image.new("RGB", (100, 100), "grey"), name) for name in "ab"]
    small = [source(scene(1).resize((40, 40)), name) for name in "cd"]
    assert find_near_pairs([*flat, *small, BytesImage("broken", b""), BytesImage("empty", b"x")]) == []


def test_the_same_shapes_in_other_colors_are_no_copy() -> None:
    image = np.asarray(scene(3))
    assert find_near_pairs([source(Image.fromarray(image), "a"), source(Image.fromarray(image[..., ::-1]), "b")]) == []


def test_copies_across_parts_and_classes_are_warned_of_and_equal_files_are_not() -> None:
    original, copy = source(scene(1), "train/cat/1.jpg"), source(scene(1).resize((120, 96)), "test/cat/9.jpg")
    other, equal = source(scene(2), "train/cat/2.jpg"), source(scene(2), "test/cat/8.jpg")
    apart = source(scene(3), "train/cat/3.jpg"), source(scene(3), "train/dog/3.jpg", 60)
    parts = {
        "train": Subset((original, other, *apart), np.array([0, 0, 0, 1])),
        "validation": Subset((source(scene(4), "4"),), np.array([0])),
        "test": Subset((copy, equal), np.array([0, 0])),
    }
    first, second = near_duplicate_findings(parts, ("cat", "dog"))
    assert first.message.startswith("1 of 2 test images are nearly the same as train images")
    assert first.examples == ("test/cat/9.jpg ~ train/cat/1.jpg",)
    assert second.message == "1 pairs of images are nearly the same and of different classes"
    assert second.examples == ("train/cat/3.jpg (cat) ~ train/dog/3.jpg (dog)",)


def test_they_are_among_the_findings_of_a_dataset(tmp_path: Path) -> None:
    for part, seeds in (("train", range(6)), ("val", range(6, 9)), ("test", range(9, 12))):
        for label in ("cat", "dog"):
            (tmp_path / part / label).mkdir(parents=True)
            for seed in seeds:
                scene(seed + 100 * (label == "dog")).save(tmp_path / part / label / f"{seed}.png")
    scene(2).resize((150, 120)).save(tmp_path / "test" / "cat" / "copy.jpg")
    dataset = inspected_dataset(str(tmp_path), 0, Reading(), SILENT)
    (finding,) = [one for one in dataset.findings if "nearly the same" in one.message]
    assert finding.message.startswith("1 of 7 test images")


def test_photographs_of_clothing_are_told_apart() -> None:
    folder = SHARED / "clothing" / "train" / "dress"
    if not folder.is_dir():
        pytest.skip("needs the clothing data")
    images = images_of([folder])[:120]
    opened = [image.open() for image in images[:20]]
    copies = [source(one.resize((one.width // 2, one.height // 2)), str(n), 80) for n, one in enumerate(opened)]
    pairs = [(pair.first, pair.second) for pair in find_near_pairs([*copies, *images])]
    assert pairs == [(number, 20 + number) for number in range(20)]


def test_images_that_cannot_be_decoded_are_counted_before_anything_is_trained(tmp_path: Path) -> None:
    for label in ("cat", "dog"):
        (tmp_path / label).mkdir()
        for number in range(6):
            scene(number + 100 * (label == "dog")).save(tmp_path / label / f"{number}.jpg")
    (tmp_path / "cat" / "cut.jpg").write_bytes((tmp_path / "cat" / "0.jpg").read_bytes()[:3000])
    dataset = inspected_dataset(tmp_path, 0, Reading(), SILENT)
    (finding,) = (one for one in dataset.findings if "cannot be decoded" in one.message)
    assert finding.message == f"1 image that cannot be decoded: {tmp_path / 'cat' / 'cut.jpg'}"
