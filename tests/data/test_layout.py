"""How folders of labeled images are understood: parts, classes, and what is left out."""

from __future__ import annotations

import re
import unicodedata
from pathlib import Path
from shutil import copytree

import numpy as np
import pytest
from PIL import Image
from tests.support.image_folders import write_images, write_masks, write_tree

from mobilenets.data.dataset import Collection, load_collection, load_dataset
from mobilenets.data.findings import Kind
from mobilenets.data.reading import Reading
from mobilenets.errors import DataError


def counts(collection: Collection) -> dict[str, dict[str, int]]:
    """Part → class → number of images."""
    return {
        part: dict(
            zip(
                collection.labels,
                np.bincount(subset.targets, minlength=len(collection.labels)).tolist(),
                strict=True,
            )
        )
        for part, subset in collection.parts.items()
    }


def said(collection: Collection, kind: Kind | None = None) -> str:
    return "\n".join(one.message for one in collection.findings if kind in (None, one.kind))


# Parts ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("train", "test"),
    [
        ("seg_train/seg_train", "seg_test/seg_test"),
        ("training_set/training_set", "test_set/test_set"),
        ("asl_alphabet_train/asl_alphabet_train", "asl_alphabet_test/asl_alphabet_test"),
        ("Train_Data", "Test_Data"),
        ("train/train", "test/test"),
        ("MNIST - JPG - training", "MNIST - JPG - testing"),
        ("Training", "Testing"),
        ("archive/photos/train", "archive/photos/test"),
        ("archive/train/images", "archive/test/images"),
        ("learn", "holdout"),
        ("1_train", "2_test"),
        ("train-20240101", "test-20250505"),
    ],
)
def test_parts_are_found_by_their_words_at_any_depth(train: str, test: str, tmp_path: Path) -> None:
    tree = {f"{train}/cat": 3, f"{train}/dog": 4, f"{test}/cat": 2, f"{test}/dog": 1}
    collection = load_collection(write_tree(tmp_path / "data", tree))
    assert counts(collection) == {"train": {"cat": 3, "dog": 4}, "test": {"cat": 2, "dog": 1}}
    assert collection.places == {"train": train, "test": test}


def test_three_parts_in_the_words_of_three_people(tmp_path: Path) -> None:
    tree = {f"{part}/{label}": 2 for part in ("TRAIN", "Dev", "eval") for label in ("a", "b")}
    collection = load_collection(write_tree(tmp_path, tree))
    assert {part: len(subset) for part, subset in collection.parts.items()} == {"train": 4, "validation": 4, "test": 4}
    assert collection.places == {"train": "TRAIN", "validation": "Dev", "test": "eval"}


def test_unlabeled_images_beside_the_parts_are_left_out_and_said(tmp_path: Path) -> None:
    tree = {f"seg_{part}/seg_{part}/{label}": 3 for part in ("train", "test") for label in ("sea", "street")}
    collection = load_collection(write_tree(tmp_path, tree | {"seg_pred/seg_pred": 5}))
    assert collection.labels == ("sea", "street")
    assert "5 images in" in said(collection, Kind.LEFT_OUT)
    assert "seg_pred" in said(collection, Kind.LEFT_OUT)


@pytest.mark.parametrize("test", ["test", "test/unknown", "test/test", "test1/images"])
def test_a_test_folder_without_classes_is_said_and_left_out(test: str, tmp_path: Path) -> None:
    collection = load_collection(write_tree(tmp_path, {"train/cat": 5, "train/dog": 5, test: 4}))
    assert set(collection.parts) == {"train"}
    assert collection.labels == ("cat", "dog")
    assert "4 images in" in said(collection, Kind.LEFT_OUT)
    assert "taken for unlabeled" in said(collection)


def test_an_empty_test_folder_is_said_and_the_test_images_are_drawn(tmp_path: Path) -> None:
    write_tree(tmp_path, {"train/cat": 5, "train/dog": 5})
    (tmp_path / "test").mkdir()
    dataset = load_dataset(tmp_path)
    assert dataset.made_parts == ("validation", "test")
    assert any("test holds no images" in finding.message for finding in dataset.findings)


def test_a_class_that_a_part_lacks_is_named_with_the_part(tmp_path: Path) -> None:
    tree = {"train/café": 3, "train/bar": 3, "test/bar": 2, "test/café": 2, "val/café": 2}
    collection = load_collection(write_tree(tmp_path, tree))
    assert "1 class of 2 without any validation image: bar" in said(collection, Kind.WARNING)
    write_images(tmp_path / "test" / "pub", 2)
    with pytest.raises(DataError, match=r"class 'pub' .* has 2 images in test and none in train.*exclude="):
        load_collection(tmp_path)
    assert load_collection(tmp_path, Reading(exclude=("pub",))).labels == ("bar", "café")


def test_a_class_called_train_is_a_class(tmp_path: Path) -> None:
    collection = load_collection(write_tree(tmp_path, {"bus": 3, "car": 3, "train": 3}))
    assert collection.labels == ("bus", "car", "train")
    assert "train is taken for a class" in said(collection)
    assert load_collection(write_tree(tmp_path / "2", {"steam_train": 3, "test_tube": 3})).labels == (
        "steam_train",
        "test_tube",
    )
    assert len(load_collection(write_tree(tmp_path / "3", {"pregnancy_test": 3, "syringe": 3, "pill": 2})).labels) == 3


def test_a_part_beside_classes_is_refused_with_the_way_out(tmp_path: Path) -> None:
    write_tree(tmp_path, {"cat": 3, "dog": 3, "test": 3})
    with pytest.raises(DataError, match=r"test beside cat, dog: are these .*find_parts=False.*exclude=\('test',\)"):
        load_collection(tmp_path)
    assert load_collection(tmp_path, Reading(find_parts=False)).labels == ("cat", "dog", "test")
    assert load_collection(tmp_path, Reading(exclude=("test",))).labels == ("cat", "dog")
    write_tree(tmp_path / "v", {"car": 3, "bus": 3, "train/steam": 3, "train/diesel": 3})
    with pytest.raises(DataError, match="are these parts of the data, or classes"):
        load_collection(tmp_path / "v")


def test_two_folders_for_one_part_are_refused_until_one_is_named(tmp_path: Path) -> None:
    write_tree(tmp_path, {f"{part}/{label}": 2 for part in ("train", "val", "valid") for label in ("a", "b")})
    with pytest.raises(DataError, match=r"holds both val and valid; keep one.*parts=\{'validation': 'val'\}"):
        load_collection(tmp_path)
    collection = load_collection(tmp_path, Reading(parts={"train": "train", "validation": "valid"}))
    assert collection.places == {"train": "train", "validation": "valid"}


def test_parts_may_be_named_whatever_they_are_called(tmp_path: Path) -> None:
    write_tree(tmp_path, {f"{part}/{label}": 2 for part in ("spring", "autumn") for label in ("a", "b")})
    with pytest.raises(DataError, match="classes_from="):
        load_collection(tmp_path)
    collection = load_collection(tmp_path, Reading(parts={"train": "spring", "test": "autumn"}))
    assert {part: len(subset) for part, subset in collection.parts.items()} == {"train": 4, "test": 4}
    with pytest.raises(DataError, match="winter, which is to hold the test images, does not exist"):
        load_collection(tmp_path, Reading(parts={"train": "spring", "test": "winter"}))


def test_parts_within_class_folders_are_parts(tmp_path: Path) -> None:
    tree = {f"{label}/{part}": count for label in ("a", "b") for part, count in (("train", 4), ("test", 2))}
    assert counts(load_collection(write_tree(tmp_path, tree))) == {"train": {"a": 4, "b": 4}, "test": {"a": 2, "b": 2}}


def test_a_folder_for_a_part_that_is_not_taken_is_said(tmp_path: Path) -> None:
    tree = {f"{part}/{label}": 3 for part in ("Training", "Test") for label in ("apple", "pear")}
    collection = load_collection(write_tree(tmp_path, tree | {"test-multiple_fruits": 4, "papers": 2}))
    assert collection.places == {"train": "Training", "test": "Test"}
    assert "4 images in" in said(collection, Kind.LEFT_OUT)
    assert "2 images in" in said(collection, Kind.LEFT_OUT)


def test_the_same_folders_again_within_themselves_are_not_taken_twice(tmp_path: Path) -> None:
    tree = {
        f"{outer}{part}/{label}": 3 for outer in ("", "chest_xray/") for part in ("train", "test") for label in "ab"
    }
    collection = load_collection(write_tree(tmp_path, tree))
    assert len(collection.everything) == 12
    assert "12 images in" in said(collection, Kind.LEFT_OUT)
    write_tree(tmp_path / "flowers", {"daisy": 3, "rose": 3, "flowers/daisy": 3, "flowers/rose": 3})
    with pytest.raises(DataError, match="folders within folders"):  # other images of the same names
        load_collection(tmp_path / "flowers")


def test_class_folders_that_lie_in_themselves_file_by_file_are_left_out_and_said(tmp_path: Path) -> None:
    write_tree(tmp_path / "flowers", {"daisy": 3, "rose": 3})
    copytree(tmp_path / "flowers", tmp_path / "flowers" / "flowers-data")
    collection = load_collection(tmp_path / "flowers")
    assert counts(collection) == {"all": {"daisy": 3, "rose": 3}}
    assert re.search("6 images in .*flowers-data: the same class folders again", said(collection, Kind.LEFT_OUT))
    write_images(tmp_path / "flowers" / "flowers-data" / "rose", ["another.png"])
    with pytest.raises(DataError, match="folders within folders"):
        load_collection(tmp_path / "flowers")


def test_folders_called_like_pieces_of_one_set_are_refused_until_they_are_said_to_be_classes(tmp_path: Path) -> None:
    for names in (("images_001", "images_002"), ("photos_part_1", "photos_part_2"), ("batch1", "batch2", "batch10")):
        root = write_tree(tmp_path / names[0], dict.fromkeys(names, 4))
        with pytest.raises(DataError, match=r"called like pieces of one set of images: say .*classes_from='top'"):
            load_collection(root)
        assert load_collection(root, Reading(classes_from="top")).labels == tuple(sorted(names))
    for names in (("1", "2"), ("grade 1", "grade 2"), ("images", "part_2"), ("c0", "c1")):
        assert len(load_collection(write_tree(tmp_path / f"classes {names[0]}", dict.fromkeys(names, 4))).labels) == 2


def test_the_same_classes_in_all_outer_folders_may_be_parts_in_another_language(tmp_path: Path) -> None:
    tree = {f"data/{part}/{label}": count for part, count in (("lernen", 4), ("pruefen", 2)) for label in "ab"}
    parts = r"parts=\{'train': 'data/lernen', 'test': 'data/pruefen'\}"
    with pytest.raises(DataError, match=rf"all of them hold a, b: if they are parts of the data, say .*{parts}"):
        load_collection(write_tree(tmp_path, tree))
    named = load_collection(tmp_path, Reading(parts={"train": "data/lernen", "test": "data/pruefen"}))
    assert counts(named) == {"train": {"a": 4, "b": 4}, "test": {"a": 2, "b": 2}}


# Classes --------------------------------------------------------------------------------------------------------------


def test_folders_within_folders_are_never_silently_the_upper_ones(tmp_path: Path) -> None:
    write_tree(tmp_path, {"mammals/cat": 3, "mammals/dog": 3, "birds/owl": 3})
    with pytest.raises(DataError, match=r"mammals/cat.*2 classes: birds, mammals.*3 classes: cat, dog.*classes_from="):
        load_collection(tmp_path)
    assert load_collection(tmp_path, Reading(classes_from="leaf")).labels == ("cat", "dog", "owl")
    assert load_collection(tmp_path, Reading(classes_from="top")).labels == ("birds", "mammals")


def test_uneven_levels_are_refused_too(tmp_path: Path) -> None:
    write_tree(tmp_path, {"cat": 3, "birds/owl": 3, "birds/raptors/eagle": 3})
    with pytest.raises(DataError, match="classes_from='leaf'"):
        load_collection(tmp_path)
    assert load_collection(tmp_path, Reading(classes_from="leaf")).labels == ("cat", "eagle", "owl")


def test_the_levels_of_the_training_images_hold_for_the_test_images(tmp_path: Path) -> None:
    tree = {f"{part}/{label}/2024-05-0{day}": 2 for part in ("train", "test") for label in "ab" for day in (1, 2)}
    assert counts(load_collection(write_tree(tmp_path, tree)))["test"] == {"a": 4, "b": 4}


@pytest.mark.parametrize("inner", [("2023", "2024"), ("images", "more"), ("batch1", "batch 2"), ("session_a1", "day2")])
def test_folders_that_say_when_or_how_are_no_classes(inner: tuple[str, str], tmp_path: Path) -> None:
    inner = tuple(name.replace("_a1", "1") for name in inner)  # type: ignore[assignment]
    tree = {f"{label}/{name}": 2 for label in ("cat", "dog") for name in inner}
    assert counts(load_collection(write_tree(tmp_path, tree))) == {"all": {"cat": 4, "dog": 4}}


def test_images_in_folders_within_a_class_count_as_it_and_it_is_said(tmp_path: Path) -> None:
    collection = load_collection(write_tree(tmp_path, {"cat": 3, "cat/kittens": 2, "dog": 3}))
    assert counts(collection) == {"all": {"cat": 5, "dog": 3}}
    assert "2 images in folders within" in said(collection, Kind.NOTE)


def test_wrapping_folders_are_passed_through(tmp_path: Path) -> None:
    collection = load_collection(write_tree(tmp_path, {"archive/my photos/cat": 3, "archive/my photos/dog": 3}))
    assert collection.labels == ("cat", "dog")
    assert collection.layout == "class folders in archive/my photos"


def test_loose_images_beside_class_folders_are_counted_and_named(tmp_path: Path) -> None:
    write_tree(tmp_path, {"cat": 3, "dog": 3})
    write_images(tmp_path, ["loose.png", "more.png"])
    collection = load_collection(tmp_path)
    assert "2 images directly in" in said(collection, Kind.LEFT_OUT)
    finding = next(one for one in collection.findings if one.kind is Kind.LEFT_OUT)
    assert finding.images == 2
    assert finding.examples == (str(tmp_path / "loose.png"), str(tmp_path / "more.png"))


@pytest.mark.parametrize(
    "name",
    [
        "@eaDir",
        "#recycle",
        "#snapshot",
        "$RECYCLE.BIN",
        "System Volume Information",
        "lost+found",
        ".thumbnails",
        "__MACOSX",
        ".ipynb_checkpoints",
        ".@__thumb",
        ".Trash-1000",
    ],
)
@pytest.mark.parametrize("place", ["", "cat", "cat/001.png@"])
def test_folders_of_storage_and_systems_are_no_classes(name: str, place: str, tmp_path: Path) -> None:
    write_tree(tmp_path, {"cat": 3, "dog": 3})
    write_images(tmp_path / place.rstrip("@").replace("/001.png", "") / name, ["SYNOPHOTO_THUMB_M.jpg"])
    collection = load_collection(tmp_path)
    assert counts(collection) == {"all": {"cat": 3, "dog": 3}}
    assert name.startswith(".") or name in said(collection, Kind.LEFT_OUT)


def test_files_of_systems_are_passed_over(tmp_path: Path) -> None:
    write_tree(tmp_path, {"cat": 3, "dog": 3})
    for name in ("._000.png", "Thumbs.db", ".DS_Store", "desktop.ini", "ehthumbs.db"):
        (tmp_path / "cat" / name).write_bytes((tmp_path / "cat" / "000.png").read_bytes())
    assert counts(load_collection(tmp_path)) == {"all": {"cat": 3, "dog": 3}}


# Masks ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["masks", "train_masks", "annotations", "labels", "GroundTruth"])
def test_a_folder_of_masks_is_no_class(name: str, tmp_path: Path) -> None:
    write_tree(tmp_path, {"cat": 3, "dog": 3})
    write_masks(tmp_path / name, ["000.png", "001.png", "002.png"])
    collection = load_collection(tmp_path)
    assert collection.labels == ("cat", "dog")
    assert "segmentation masks, no class" in said(collection, Kind.LEFT_OUT)


@pytest.mark.parametrize("place", ["thumbnails/{label}", "{label}/thumbs", "{label}/preview"])
def test_thumbnails_are_no_class_and_no_images_of_one(place: str, tmp_path: Path) -> None:
    write_tree(tmp_path, {"cat": 3, "dog": 3})
    for label in ("cat", "dog"):
        write_images(tmp_path / place.format(label=label), ["000.png", "001_thumb.png", "002.png"])
    collection = load_collection(tmp_path)
    assert counts(collection) == {"all": {"cat": 3, "dog": 3}}
    assert "6 thumbnails in" in said(collection, Kind.LEFT_OUT)


def test_a_class_called_thumb_is_a_class(tmp_path: Path) -> None:
    write_images(tmp_path / "fist", [f"fist{number}.png" for number in range(3)])
    write_images(tmp_path / "thumb", [f"thumb{number}.png" for number in range(3)])
    assert load_collection(tmp_path).labels == ("fist", "thumb")


def test_files_of_other_kinds_are_counted_and_a_folder_of_them_is_named(tmp_path: Path) -> None:
    write_tree(tmp_path, {"cat": 3, "dog": 3})
    for name in ("cat/1.npy", "cat/2.CR2", "owl/1.dcm", "owl/2.dcm"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"II*\0" + bytes(20))  # as raw data of cameras begins
    collection = load_collection(tmp_path)
    assert counts(collection) == {"all": {"cat": 3, "dog": 3}}
    assert "4 files of kinds that are not read as images: 2 .dcm, 1 .npy, 1 .cr2" in said(collection, Kind.LEFT_OUT)
    assert "owl holds no image of a kind that is read, and is no class" in said(collection, Kind.WARNING)
    (tmp_path / "scans" / "a").mkdir(parents=True)
    (tmp_path / "scans" / "a" / "1.dcm").write_bytes(bytes(128) + b"DICM")
    with pytest.raises(DataError, match=r"it holds 1 file of kinds that are not read as images: 1 \.dcm"):
        load_collection(tmp_path / "scans")


@pytest.mark.parametrize("suffix", ["jp2", "tga"])
def test_kinds_that_are_seldom_seen_are_images(suffix: str, tmp_path: Path) -> None:
    for label in ("cat", "dog"):
        for path in write_images(tmp_path / label, 3):
            with Image.open(path) as image:
                image.save(path.with_suffix(f".{suffix}"))
            path.unlink()
    assert counts(load_collection(tmp_path)) == {"all": {"cat": 3, "dog": 3}}


def test_a_class_called_masks_is_a_class_and_that_is_said(tmp_path: Path) -> None:
    collection = load_collection(write_tree(tmp_path, {"masks": 3, "faces": 3}))
    assert collection.labels == ("faces", "masks")
    assert "exclude=('masks',)" in said(collection, Kind.NOTE)
    assert load_collection(write_tree(tmp_path / "2", {"with_mask": 3, "without_mask": 3})).labels == (
        "with_mask",
        "without_mask",
    )


def test_masks_within_a_class_and_beside_an_image_are_left_out(tmp_path: Path) -> None:
    names = ["1.png", "2.png", "3.png"]
    for label in ("benign", "malignant"):
        write_images(tmp_path / "a" / label / "images", names)
        write_masks(tmp_path / "a" / label / "masks", names)
        write_images(tmp_path / "b" / label, names)
        write_masks(tmp_path / "b" / label, ["1_mask.png", "2_mask.png", "2_mask_1.png"])
    for source in ("a", "b"):
        collection = load_collection(tmp_path / source)
        assert counts(collection) == {"all": {"benign": 3, "malignant": 3}}
        assert "6 masks of images beside them" in said(collection, Kind.LEFT_OUT)


# Names ----------------------------------------------------------------------------------------------------------------


def test_one_name_in_two_encodings_or_with_blanks_is_one_class(tmp_path: Path) -> None:
    composed, decomposed = "café", unicodedata.normalize("NFD", "café")
    tree = {f"train/{composed}": 3, "train/bar": 3, f"test/{decomposed}": 2, "test/bar ": 1}
    collection = load_collection(write_tree(tmp_path, tree))
    assert counts(collection) == {"train": {"bar": 3, composed: 3}, "test": {"bar": 1, composed: 2}}
    assert "are one class, 'bar'" in said(collection, Kind.NOTE)
    assert "'cafe\\u0301'" in said(collection, Kind.NOTE)


def test_names_that_differ_in_case_are_refused_until_it_is_said_what_they_are(tmp_path: Path) -> None:
    write_tree(tmp_path, {"Cat": 3, "cat": 3, "dog": 2})
    with pytest.raises(DataError, match=r"'Cat' and 'cat' differ in upper and lower case only.*letter_case='merge'"):
        load_collection(tmp_path)
    assert counts(load_collection(tmp_path, Reading(letter_case="merge"))) == {"all": {"Cat": 6, "dog": 2}}
    assert load_collection(tmp_path, Reading(letter_case="keep")).labels == ("Cat", "cat", "dog")


@pytest.mark.parametrize(
    "names",
    [
        ("cat", "c\u0430t"),  # a Cyrillic letter
        ("cat", "cat\u200b"),  # a blank of no width
        ("cat", "\uff43\uff41\uff54"),  # letters as wide as Chinese ones
        ("cafe", "caf\u00e9"),
        ("inek", "\u0130nek"),
    ],
)
def test_names_that_look_alike_are_warned_of(names: tuple[str, str], tmp_path: Path) -> None:
    collection = load_collection(write_tree(tmp_path, dict.fromkeys(names, 3)))
    assert collection.labels == tuple(sorted(names))
    assert "look alike, and are written with other characters" in said(collection, Kind.WARNING)


def test_letters_that_marks_make_are_other_letters(tmp_path: Path) -> None:
    collection = load_collection(write_tree(tmp_path, {"\u304b": 3, "\u304c": 3}))  # Japanese ka and ga
    assert not said(collection)


def test_one_number_written_in_several_ways_is_warned_of(tmp_path: Path) -> None:
    collection = load_collection(write_tree(tmp_path, {"1": 3, "1.0": 3, "01": 3, "2": 3}))
    assert "'01' and '1' and '1.0' are the same number" in said(collection, Kind.WARNING)


def test_names_of_what_is_in_no_class_are_warned_of(tmp_path: Path) -> None:
    collection = load_collection(write_tree(tmp_path, {"cat": 3, "dog": 3, "Unlabeled": 3, "New folder (2)": 3}))
    for name in ("Unlabeled", "New folder (2)"):
        assert f"{name!r} is taken for a class; if it is none, say Reading(exclude=({name!r},))" in said(collection)
    assert load_collection(tmp_path, Reading(exclude=("Unlabeled", "New folder (2)"))).labels == ("cat", "dog")


def test_letters_are_classes_in_both_cases(tmp_path: Path) -> None:
    assert load_collection(write_tree(tmp_path, {"A": 2, "a": 2})).labels == ("A", "a")


def test_a_table_that_says_nothing_of_classes_does_not_hide_the_folders(tmp_path: Path) -> None:
    write_tree(tmp_path, {"images/cat": 3, "images/dog": 3})
    (tmp_path / "sizes.csv").write_text("width,height,depth\n1,2,3\n")
    collection = load_collection(tmp_path)
    assert collection.labels == ("cat", "dog")
    assert "sizes.csv is not read" in said(collection)


def test_classes_in_the_names_of_files_are_taken_where_it_is_said(tmp_path: Path) -> None:
    names = [f"cat.{number}.png" for number in range(3)] + [f"great_dane_{number}.png" for number in range(4)]
    write_images(tmp_path / "train", names)
    write_images(tmp_path / "test", ["1.png", "2.png"])
    with pytest.raises(DataError, match=r"begin with cat, great_dane, say Reading\(classes_from='name'\)"):
        load_collection(tmp_path)
    collection = load_collection(tmp_path, Reading(classes_from="name"))
    assert counts(collection) == {"train": {"cat": 3, "great_dane": 4}}
    assert "2 images in" in said(collection, Kind.LEFT_OUT)
    assert counts(load_collection(tmp_path / "train", Reading(classes_from="name"))) == {
        "all": {"cat": 3, "great_dane": 4}
    }


# Label files in folders -----------------------------------------------------------------------------------------------


def test_roboflow_parts_with_one_hot_label_files(tmp_path: Path) -> None:
    for part, count in (("train", 4), ("valid", 2), ("test", 2)):
        paths = write_images(tmp_path / part, count)
        rows = [f"{path.name}, {number % 2}, {1 - number % 2}" for number, path in enumerate(paths)]
        (tmp_path / part / "_classes.csv").write_text("\n".join(["filename, circle, square", *rows]))
    assert counts(load_collection(tmp_path)) == {
        "train": {"circle": 2, "square": 2},
        "validation": {"circle": 1, "square": 1},
        "test": {"circle": 1, "square": 1},
    }


def test_a_competition_with_a_table_for_its_training_folder(tmp_path: Path) -> None:
    train, test = write_images(tmp_path / "train", 4), write_images(tmp_path / "test", 4)
    rows = [f"{path.stem},{'pug' if number % 2 else 'collie'}" for number, path in enumerate(train)]
    (tmp_path / "train.csv").write_text("\n".join(["id,breed", *rows]))
    (tmp_path / "test.csv").write_text("\n".join(["id", *(path.stem for path in test)]))
    (tmp_path / "sample_submission.csv").write_text("id,collie,pug\n000,0.5,0.5\n")
    collection = load_collection(tmp_path)
    assert counts(collection) == {"train": {"collie": 2, "pug": 2}}
    assert {Path(image.name).parent for image in collection.parts["train"].images} == {tmp_path / "train"}
    assert "4 images in" in said(collection, Kind.LEFT_OUT)


def test_a_test_folder_whose_classes_stand_in_a_table_beside_it(tmp_path: Path) -> None:
    write_tree(tmp_path, {"Train/0": 3, "Train/1": 3})
    paths = write_images(tmp_path / "Test", 3)
    rows = [f"20,20,{number % 2},Test/{path.name}" for number, path in enumerate(paths)]
    (tmp_path / "Test.csv").write_text("\n".join(["Width,Height,ClassId,Path", *rows]))
    assert counts(load_collection(tmp_path)) == {"train": {"0": 3, "1": 3}, "test": {"0": 2, "1": 1}}


def test_a_table_that_contradicts_the_folders_is_refused(tmp_path: Path) -> None:
    first, second = write_images(tmp_path / "part_1", 3), write_images(tmp_path / "part_2", 3)
    rows = [
        f"{path.parent.name}/{path.name},{'mel' if number % 2 else 'nv'}" for number, path in enumerate(first + second)
    ]
    (tmp_path / "metadata.csv").write_text("\n".join(["image,dx", *rows]))
    with pytest.raises(
        DataError,
        match=r"metadata.csv gives their images other classes: mel, nv.*=\('metadata.csv',\), classes_from='top'",
    ):
        load_collection(tmp_path)
    assert load_collection(tmp_path / "metadata.csv").labels == ("mel", "nv")
    assert load_collection(tmp_path, Reading(exclude=("metadata.csv",), classes_from="top")).labels == (
        "part_1",
        "part_2",
    )


def test_a_table_that_agrees_with_the_folders_is_passed_over(tmp_path: Path) -> None:
    cat, dog = write_images(tmp_path / "cat", 2), write_images(tmp_path / "dog", 2)
    rows = [f"{path.parent.name}/{path.name},{number}" for number, paths in enumerate((cat, dog)) for path in paths]
    (tmp_path / "birds.csv").write_text("\n".join(["filepaths,class id", *rows]).replace("filepaths", "file"))
    assert load_collection(tmp_path).labels == ("cat", "dog")


def test_images_in_no_class_folder_name_the_way_out(tmp_path: Path) -> None:
    write_images(tmp_path / "train", ["cat.1.png", "dog.1.png"])
    with pytest.raises(DataError, match=r"train holds no images in class folders.*or a CSV of file,class"):
        load_collection(tmp_path)
    write_images(tmp_path / "numbered", 3)
    with pytest.raises(DataError, match=r"which image is of which class$"):
        load_collection(tmp_path / "numbered")
    write_images(tmp_path / "flat", 3)
    (tmp_path / "flat" / "a.csv").write_text("x")
    (tmp_path / "flat" / "b.csv").write_text("y")
    with pytest.raises(DataError, match=r"several tables: a.csv, b.csv; name one"):
        load_collection(tmp_path / "flat")


def test_archives_are_not_looked_into_and_it_is_said(tmp_path: Path) -> None:
    write_tree(tmp_path / "photos", {"cat": 3, "dog": 3})
    (tmp_path / "photos" / "cat" / "more.zip").write_bytes(b"PK")
    assert "1 archive is not unpacked: cat/more.zip" in said(load_collection(tmp_path / "photos"), Kind.LEFT_OUT)
    (tmp_path / "photos.7z").write_bytes(b"")
    with pytest.raises(DataError, match="it is an archive: unpack it, and name the folder"):
        load_collection(tmp_path / "photos.7z")
    (tmp_path / "photos.tar.gz").write_bytes(b"")  # which is read as a shard
    with pytest.raises(DataError, match=r"photos\.tar\.gz is no tar archive, or is damaged: empty file"):
        load_collection(tmp_path / "photos.tar.gz")


@pytest.mark.parametrize("name", ["cat (1)", "cat copy", "cat - Copy (2)", "cat Kopie"])
def test_a_class_called_like_a_copy_of_another_is_warned_of(name: str, tmp_path: Path) -> None:
    collection = load_collection(write_tree(tmp_path, {"cat": 3, "dog": 3, name: 3}))
    (warning,) = (one.message for one in collection.findings if "like a copy" in one.message)
    assert warning.startswith(f"{name!r} is called like a copy of the class 'cat'")
    assert not any("copy" in one.message for one in load_collection(tmp_path, Reading(exclude=("cat",))).findings)


def test_one_folder_called_images_is_no_class(tmp_path: Path) -> None:
    write_tree(tmp_path, {"jpg": 3})
    (tmp_path / "imagelabels.mat").write_bytes(b"MATLAB 5.0")
    with pytest.raises(DataError, match=r"jpg holds no images in class folders; expected .*<class>/<image>"):
        load_collection(tmp_path)


def test_classes_that_are_joined_in_other_ways_are_warned_of(tmp_path: Path) -> None:
    write_tree(tmp_path, {"great dane": 3, "great_dane": 3, "great-dane": 3, "greatdane": 3})
    collection = load_collection(tmp_path)
    assert len(collection.labels) == 4
    assert "differ in blanks, hyphens and underscores only" in said(collection, Kind.WARNING)
    assert "'greatdane'" not in said(collection, Kind.WARNING)
