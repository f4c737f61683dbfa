"""Tables of images and labels, as people and programs write them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from tests.support.image_folders import write_images

from mobilenets.data.dataset import Collection, load_collection, load_dataset, reload_dataset
from mobilenets.data.findings import Kind
from mobilenets.data.reading import Reading
from mobilenets.errors import DataError
from mobilenets.model.provenance import Data

COUNT = 20


@pytest.fixture
def images(tmp_path: Path) -> list[Path]:
    """Twenty images in a folder beside the table; every second one is a cat."""
    return write_images(tmp_path / "photos", [f"IMG_{number:02}.png" for number in range(COUNT)])


def label(number: int) -> str:
    return "dog" if number % 2 else "cat"


def write(path: Path, header: str, rows: Sequence[str], encoding: str = "utf-8") -> Path:
    path.write_text("\n".join([*([header] if header else []), *rows, ""]), encoding=encoding)
    return path


def counts(collection: Collection) -> dict[str, list[int]]:
    """Part → number of images of each class, in order of the labels."""
    return {part: np.bincount(one.targets, minlength=2).tolist() for part, one in collection.parts.items()}


def said(collection: Collection, kind: Kind | None = None) -> str:
    return "\n".join(one.message for one in collection.findings if kind in (None, one.kind))


def check(collection: Collection, images: list[Path]) -> None:
    """Every image has its class, and is there."""
    assert collection.labels == ("cat", "dog")
    found = {
        Path(image.name).name: collection.labels[target]
        for image, target in zip(collection.everything.images, collection.everything.targets, strict=True)
    }
    assert found == {path.name: label(number) for number, path in enumerate(images)}
    assert all(Path(image.name).is_file() for image in collection.everything.images)


# Dialects -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("header", "row"),
    [
        ("file,class", "photos/{name},{label}"),
        ("filename,label", "photos/{name},{label}"),
        ("File,Class", "photos/{name},{label}"),
        ("file, class", "photos/{name}, {label}"),
        ("image_path,target", "photos/{name},{label}"),
        ("Image Name,Species", "{name},{label}"),
        ("id,breed", "{stem},{label}"),
        ("id_code,diagnosis", "{stem},{label}"),
        ("Image,Id", "{name},{label}"),
        ("Image Index,Finding Labels,Patient Age", "{name},{label},{number}"),
        ("image_id,label", "{stem},{label}"),
        (",file,class", "{number},photos/{name},{label}"),
        ("Unnamed: 0,file,class", "{number},photos/{name},{label}"),
        ("index,file,class", "{number},photos/{name},{label}"),
        ("name,kind", "photos/{name},{label}"),
        ("class,file,width,height", "{label},photos/{name},20,30"),
        ("", "photos/{name},{label}"),
        ("", "{label},photos/{name}"),
        ("file;class", "photos/{name};{label}"),
        ("file\tclass", "photos/{name}\t{label}"),
        ("file|class", "photos/{name}|{label}"),
        ('"file","class"', '"photos/{name}","{label}"'),
        ("file,class", "photos\\{name},{label}"),
        ("file,class", "C:\\data\\photos\\{name},{label}"),
        ("file,class", "/home/ann/data/photos/{name},{label}"),
        ("file,class", "photos/{stem},{label}"),
        ("file,class", "{stem}.PNG,{label}"),
        ("file,class", "gs://bucket/photos/{name},{label}"),
        ("image,choice,annotator,annotation_id", "/data/upload/3/1a2b3c4d-{name},{label},1,{number}"),
        ("image,choice", "/data/local-files/?d=photos/{name},{label}"),
        ("image,choice", '/data/upload/1/1a2b3c4d-{name},"{{""choices"": [""{label}""]}}"'),
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_tables_of_every_dialect_are_understood(
    header: str, row: str, encoding: str, images: list[Path], tmp_path: Path
) -> None:
    rows = [
        row.format(name=path.name, stem=path.stem, label=label(number), number=number)
        for number, path in enumerate(images)
    ]
    check(load_collection(write(tmp_path / "data.csv", header, rows, encoding)), images)


def test_what_spreadsheets_and_lists_add(images: list[Path], tmp_path: Path) -> None:
    rows = [f"photos/{path.name};{label(number)}" for number, path in enumerate(images)]
    check(load_collection(write(tmp_path / "data.csv", "sep=;", ["file;class", *rows])), images)
    spaced = [row.replace(";", " ") for row in rows]
    check(load_collection(write(tmp_path / "list.txt", "", spaced)), images)
    rows[0] = rows[0].replace("cat", "NaN")
    collection = load_collection(write(tmp_path / "data.csv", "file;class", rows))
    assert counts(collection) == {"all": [9, 10]}
    assert "1 image without a class" in said(collection, Kind.LEFT_OUT)


def test_blank_lines_and_empty_rows_are_passed_over(images: list[Path], tmp_path: Path) -> None:
    rows = [f"photos/{path.name},{label(number)}" for number, path in enumerate(images)]
    check(load_collection(write(tmp_path / "data.tsv", "file,class", [*rows, "", ",", "  "])), images)


def test_one_hot_columns_are_classes(images: list[Path], tmp_path: Path) -> None:
    rows = [f"photos/{path.name},{int(number % 2 == 0)}.0,{number % 2}.0" for number, path in enumerate(images)]
    check(load_collection(write(tmp_path / "data.csv", "image,cat,dog", rows)), images)
    rows[0] = rows[0].replace("1.0", "0.0")
    collection = load_collection(write(tmp_path / "data.csv", "image,cat,dog", rows))
    assert counts(collection) == {"all": [9, 10]}
    assert "1 image without a class in data.csv" in said(collection, Kind.LEFT_OUT)


def test_one_hot_columns_in_other_words_and_beside_other_columns(images: list[Path], tmp_path: Path) -> None:
    for yes, no in (("Y", "N"), ("x", ""), ("TRUE", "FALSE"), ("1", "-1")):
        rows = [
            f"photos/{path.name},{no if number % 2 else yes},{yes if number % 2 else no},{number},640"
            for number, path in enumerate(images)
        ]
        check(load_collection(write(tmp_path / "data.csv", "image,cat,dog,age,width", rows)), images)


@pytest.mark.parametrize(
    ("header", "row"),
    [
        ("# my photos, 2024\nfile,class", "photos/{name},{label}"),
        ("#file,class", "photos/{name},{label}"),
        ("file,class", "'photos/{name}','{label}'"),
        ("file,class", "{number},photos/{name},{label}"),  # as R writes a table with its row numbers
        ("", "photos/{name}\t{label}\t12\t30\t44\t60"),  # beside the numbers of a box
    ],
)
def test_what_programs_write_around_a_table(header: str, row: str, images: list[Path], tmp_path: Path) -> None:
    rows = [row.format(name=path.name, label=label(number), number=number + 1) for number, path in enumerate(images)]
    check(load_collection(write(tmp_path / "data.csv", header, rows)), images)


def test_a_name_that_is_cut_at_a_comma_is_refused(images: list[Path], tmp_path: Path) -> None:
    names = ("crane, bird", "crane, machine")
    rows = [f"photos/{path.name},{names[number % 2]}" for number, path in enumerate(images)]
    with pytest.raises(DataError, match=r"line 2: 3 cells where the header has 2 .*in 20 of 20 rows; a name that"):
        load_collection(write(tmp_path / "data.csv", "file,class", rows))
    rows = [f'photos/{path.name},"{names[number % 2]}",' for number, path in enumerate(images)]
    assert load_collection(write(tmp_path / "data.csv", "file,class", rows)).labels == names


def test_quotes_within_quotes_are_part_of_a_name(images: list[Path], tmp_path: Path) -> None:
    for written in ('"{} \\"big\\""', '"{} ""big"""'):
        rows = [f"photos/{path.name},{written.format(label(number))}" for number, path in enumerate(images)]
        assert load_collection(write(tmp_path / "data.csv", "file,class", rows)).labels == ('cat "big"', 'dog "big"')


def test_pixels_in_cells_are_said(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds the pixels of its images in 3 columns, from pixel1 on, and names no"):
        load_collection(write(tmp_path / "data.csv", "label,pixel1,pixel2,pixel3", ["1,2,3,4", "0,2,3,5"]))


def test_classes_and_files_of_a_table_are_left_out_as_it_is_said(images: list[Path], tmp_path: Path) -> None:
    rows = [f"photos/{path.name},{label(number) if number else 'None'}" for number, path in enumerate(images)]
    path = write(tmp_path / "data.csv", "file,class", rows)
    assert load_collection(path).labels == ("None", "cat", "dog")
    collection = load_collection(path, Reading(exclude=("None", images[1].name)))
    assert counts(collection) == {"all": [9, 9]}
    assert "2 images of what is to be left out" in said(collection, Kind.LEFT_OUT)


@pytest.mark.parametrize("name", ["istrain", "in_train_set", "is_training_image", "Train"])
def test_a_column_of_yes_and_no_for_training_is_a_split(name: str, images: list[Path], tmp_path: Path) -> None:
    rows = [f"photos/{path.name},{label(number)},{int(number > 3)}" for number, path in enumerate(images)]
    assert counts(load_collection(write(tmp_path / "data.csv", f"file,class,{name}", rows))) == {
        "test": [2, 2],
        "train": [8, 8],
    }


@pytest.mark.parametrize("entry", ["{name}", "photos/{name}", "{stem}"])
def test_lists_beside_a_table_are_its_parts(entry: str, images: list[Path], tmp_path: Path) -> None:
    rows = [f"photos/{path.name},{label(number)}" for number, path in enumerate(images)]
    table = write(tmp_path / "data.csv", "file,class", rows)
    for file, chosen in (("train_val_list.txt", images[4:]), ("test_list.txt", images[:4])):
        write(tmp_path / file, "", [entry.format(name=path.name, stem=path.stem) for path in chosen])
    collection = load_collection(table)
    assert counts(collection) == {"train": [8, 8], "test": [2, 2]}
    assert collection.places == {"train": "train_val_list.txt", "test": "test_list.txt"}
    assert set(load_collection(table, Reading(find_parts=False)).parts) == {"all"}


def test_a_table_of_the_split_beside_a_table_of_classes_is_named(images: list[Path], tmp_path: Path) -> None:
    rows = [f"photos/{path.name},{label(number)}" for number, path in enumerate(images)]
    table = write(tmp_path / "attributes.csv", "file,class", rows)
    write(tmp_path / "eval_partition.csv", "file,partition", [f"photos/{path.name},0" for path in images])
    assert "eval_partition.csv is not read; if it says which images are for testing" in said(load_collection(table))
    assert not said(load_collection(table, Reading(exclude=("eval_partition.csv",))))


def test_json_in_its_shapes(images: list[Path], tmp_path: Path) -> None:
    pairs = [(path, label(number)) for number, path in enumerate(images)]
    shapes: dict[str, object] = {
        "list.json": [{"file_name": f"photos/{path.name}", "label": name} for path, name in pairs],
        "map.json": {f"photos/{path.name}": name for path, name in pairs},
        "studio.json": [
            {
                "data": {"image": f"/data/upload/1/1a2b3c4d-{path.name}"},
                "annotations": [{"result": [{"type": "choices", "value": {"choices": [name]}}]}],
            }
            for path, name in pairs
        ],
        "studio-min.json": [{"image": f"/data/upload/1/{path.name}", "choice": name, "id": 1} for path, name in pairs],
    }
    shapes["createml.json"] = [{"image": path.name, "annotations": [{"label": name}]} for path, name in pairs]
    files = [f"photos/{path.name}" for path in images]
    names = [name for _, name in pairs]
    shapes |= {
        "by_class.json": {
            name: [file for file, own in zip(files, names, strict=True) if own == name] for name in names
        },
        "pairs.json": [list(pair) for pair in zip(files, names, strict=True)],
        "by_file.json": {file: {"label": name} for file, name in zip(files, names, strict=True)},
        "annotator.json": {
            f"{file}123": {"filename": file, "regions": [], "file_attributes": {"class": name}}
            for file, name in zip(files, names, strict=True)
        },
        "columns.json": {"file": files, "label": names},
        "pandas.json": {"file": dict(enumerate(files)), "label": dict(enumerate(names))},
        "coco.json": {
            "images": [{"id": number, "file_name": file} for number, file in enumerate(files)],
            "annotations": [{"image_id": number, "category_id": number % 2} for number in range(COUNT)],
            "categories": [{"id": 0, "name": "cat"}, {"id": 1, "name": "dog"}],
        },
    }
    for file, content in shapes.items():
        (tmp_path / file).write_text(json.dumps(content))
        check(load_collection(tmp_path / file), images)
    lines = [json.dumps({"file_name": f"photos/{path.name}", "label": name}) for path, name in pairs]
    check(load_collection(write(tmp_path / "metadata.jsonl", "", lines)), images)
    parts: dict[str, object] = {"train": [list(pair) for pair in zip(files[4:], names[4:], strict=True)]}
    parts["test"] = [{"file": file, "class": name} for file, name in zip(files[:4], names[:4], strict=True)]
    (tmp_path / "parts.json").write_text(json.dumps(parts))
    collection = load_collection(tmp_path / "parts.json")
    check(collection, images)
    assert counts(collection) == {"train": [8, 8], "test": [2, 2]}
    vertex = [
        {
            "imageGcsUri": f"gs://bucket/{path.name}",
            "classificationAnnotation": {"displayName": name},
            "dataItemResourceLabels": {"aiplatform.googleapis.com/ml_use": "test" if number < 4 else "training"},
        }
        for number, (path, name) in enumerate(pairs)
    ]
    collection = load_collection(write(tmp_path / "vertex.jsonl", "", [json.dumps(one) for one in vertex]))
    check(collection, images)
    assert counts(collection) == {"test": [2, 2], "train": [8, 8]}


@pytest.mark.parametrize("name", ["metadata.csv", "metadata.jsonl", "labels.csv"])
def test_a_folder_of_images_with_its_label_file(name: str, tmp_path: Path) -> None:
    for part in ("train", "test"):
        paths = write_images(tmp_path / part, 4)
        pairs = [(path.name, label(number)) for number, path in enumerate(paths)]
        if name.endswith("csv"):
            write(tmp_path / part / name, "file_name,label", [f"{file},{kind}" for file, kind in pairs])
        else:
            rows = [json.dumps({"file_name": file, "label": kind}) for file, kind in pairs]
            write(tmp_path / part / name, "", rows)
    assert counts(load_collection(tmp_path)) == {"train": [2, 2], "test": [2, 2]}
    assert counts(load_collection(tmp_path / "train")) == {"all": [2, 2]}


def test_a_table_for_all_parts_at_the_top(tmp_path: Path) -> None:
    rows = []
    for part in ("train", "test"):
        paths = write_images(tmp_path / part, 4)
        rows += [f"{part}/{path.name},{label(number)},{part}" for number, path in enumerate(paths)]
    write(tmp_path / "metadata.csv", "file_name,label,split", rows)
    assert counts(load_collection(tmp_path)) == {"train": [2, 2], "test": [2, 2]}


def test_label_files_called_like_the_parts(images: list[Path], tmp_path: Path) -> None:
    rows = [f"photos/{path.name},{label(number)}" for number, path in enumerate(images)]
    for part, chosen in (("train", rows[:12]), ("val", rows[12:16]), ("test", rows[16:])):
        write(tmp_path / f"{part}.csv", "file,class", chosen)
    assert counts(load_collection(tmp_path)) == {"train": [6, 6], "validation": [2, 2], "test": [2, 2]}


# Parts ----------------------------------------------------------------------------------------------------------------


def with_split(images: list[Path], words: Sequence[str], path: Path, column: str = "split") -> Path:
    """A table whose split column repeats some words."""
    rows = [
        f"photos/{image.name},{label(number // len(words))},{words[number % len(words)]}"
        for number, image in enumerate(images)
    ]
    return write(path, f"file,class,{column}", rows)


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (("train", "test"), {"train", "test"}),
        (("learn", "holdout"), {"train", "test"}),
        (("train ", "test "), {"train", "test"}),
        (("TRAIN", "Validation"), {"train", "validation"}),
        (("train", "dev", "eval"), {"train", "validation", "test"}),
        (("training set", "hold-out"), {"train", "test"}),
    ],
)
@pytest.mark.parametrize("column", ["split", "Subset", "partition", "ml_use", "set", "Data Set"])
def test_known_words_of_a_split_are_parts(
    words: tuple[str, ...], parts: set[str], column: str, images: list[Path], tmp_path: Path
) -> None:
    collection = load_collection(with_split(images, words, tmp_path / "data.csv", column))
    assert set(collection.parts) == parts
    assert sum(map(len, collection.parts.values())) == COUNT


def test_unknown_words_of_a_split_are_refused_with_what_was_found(images: list[Path], tmp_path: Path) -> None:
    path = with_split(images, ("study", "exam"), tmp_path / "data.csv")
    with pytest.raises(DataError, match=r"column split .*study \(10\), exam \(10\); .*=\{'exam': 'train', 'study'"):
        load_collection(path)
    collection = load_collection(path, Reading(split_words={"study": "train", "exam": "test"}))
    assert {part: len(subset) for part, subset in collection.parts.items()} == {"train": 10, "test": 10}
    omitted = load_collection(path, Reading(split_words={"study": "train", "exam": "omit"}))
    assert {part: len(subset) for part, subset in omitted.parts.items()} == {"train": 10}
    assert "10 images whose split is to be omitted" in said(omitted, Kind.LEFT_OUT)
    assert set(load_collection(path, Reading(columns={"split": "none"})).parts) == {"all"}


def test_a_split_is_known_by_its_words_whatever_its_column_is_called(images: list[Path], tmp_path: Path) -> None:
    collection = load_collection(with_split(images, ("train", "test"), tmp_path / "data.csv", "kind of use"))
    assert set(collection.parts) == {"train", "test"}
    with pytest.raises(DataError, match=r"Judged \(6\).*split_words=\{'Judged': 'train'\}"):
        load_collection(with_split(images, ("Training", "Test", "Judged"), tmp_path / "data.csv", "Usage"))
    fer = load_collection(with_split(images, ("Training", "PublicTest", "PrivateTest"), tmp_path / "fer.csv", "Usage"))
    assert set(fer.parts) == {"train", "validation", "test"}


@pytest.mark.parametrize("column", ["split", "fold", "kfold"])
def test_folds_are_refused_until_one_is_chosen(column: str, images: list[Path], tmp_path: Path) -> None:
    path = with_split(images, ("0", "1", "2", "3", "4"), tmp_path / "data.csv", column)
    with pytest.raises(DataError, match=r"holds numbers, as folds do: 0 \(4\).*\{'0': 'validation', '1': 'test'\}"):
        load_collection(path)
    collection = load_collection(path, Reading(split_words={"0": "validation", "1": "test"}))
    assert {part: len(one) for part, one in collection.parts.items()} == {"validation": 4, "test": 4, "train": 12}


def test_a_blank_split_is_refused_until_it_is_said_what_it_means(images: list[Path], tmp_path: Path) -> None:
    path = with_split(images, ("train", "test", ""), tmp_path / "data.csv")
    with pytest.raises(
        DataError, match=r"some rows name a split and some do not \(6 are blank\).*split_words=\{'blank': "
    ):
        load_collection(path)
    assert len(load_collection(path, Reading(split_words={"blank": "train"})).parts["train"]) == 13


def test_yes_and_no_may_be_parts(images: list[Path], tmp_path: Path) -> None:
    collection = load_collection(with_split(images, ("1", "1", "1", "0"), tmp_path / "data.csv", "is_train"))
    assert {part: len(subset) for part, subset in collection.parts.items()} == {"train": 15, "test": 5}
    collection = load_collection(with_split(images, ("False", "True"), tmp_path / "data.csv", "is_valid"))
    assert {part: len(subset) for part, subset in collection.parts.items()} == {"train": 10, "validation": 10}


def test_a_column_that_may_be_no_split_is_named(images: list[Path], tmp_path: Path) -> None:
    collection = load_collection(with_split(images, ("vienna", "prague"), tmp_path / "data.csv", "dataset"))
    assert set(collection.parts) == {"all"}
    assert "the column dataset (prague, vienna) is not read as a split; with Reading(columns={'split'" in said(
        collection
    )


def test_vertex_rows_without_a_header(images: list[Path], tmp_path: Path) -> None:
    rows = [
        f"{'TEST' if number < 4 else 'TRAIN'},gs://bucket/{path.name},{label(number)}"
        for number, path in enumerate(images)
    ]
    collection = load_collection(write(tmp_path / "data.csv", "", rows))
    assert counts(collection) == {"test": [2, 2], "train": [8, 8]}
    rows[5] = rows[5].replace("TRAIN", "UNASSIGNED")
    with pytest.raises(DataError, match=r"the first column .*split_words=\{'UNASSIGNED': 'train'\}"):
        load_collection(write(tmp_path / "data.csv", "", rows))


def test_a_dataset_is_read_again_as_it_was_read(images: list[Path], tmp_path: Path) -> None:
    path = with_split(images, ("study", "exam"), tmp_path / "data.csv")
    dataset = load_dataset(path, reading=Reading(split_words={"study": "train", "exam": "test"}))
    data = Data(dataset.source, dataset.fingerprint, 0, dataset.reading.encode())
    assert reload_dataset(data).fingerprint == dataset.fingerprint
    assert Reading.decode(dataset.reading.encode()) == dataset.reading


# Faults ---------------------------------------------------------------------------------------------------------------


def test_an_image_of_two_classes_is_left_out_or_refused(images: list[Path], tmp_path: Path) -> None:
    rows = [f"photos/{path.name},{label(number)}" for number, path in enumerate(images)]
    collection = load_collection(write(tmp_path / "data.csv", "file,class", [*rows, f"photos/{images[0].name},dog"]))
    assert counts(collection) == {"all": [9, 10]}
    finding = next(one for one in collection.findings if one.kind is Kind.LEFT_OUT)
    assert finding.message == "1 image to which data.csv gives more than one class"
    assert finding.examples == ("IMG_00.png (cat, dog)",)
    others = [f"photos/{path.name},dog" for path in images[:6]]
    with pytest.raises(DataError, match=r"gives 3 of 20 images more than one class: IMG_00.png \(cat, dog\)"):
        load_collection(write(tmp_path / "data.csv", "file,class", rows + others))


def test_a_repeated_row_counts_once(images: list[Path], tmp_path: Path) -> None:
    rows = [f"photos/{path.name},{label(number)}" for number, path in enumerate(images)]
    collection = load_collection(write(tmp_path / "data.csv", "file,class", rows + rows[:3]))
    assert counts(collection) == {"all": [10, 10]}
    assert "3 rows of data.csv repeat an image" in said(collection)


def test_missing_images_are_named_and_many_are_refused_at_once(images: list[Path], tmp_path: Path) -> None:
    rows = [f"photos/{path.name},{label(number)}" for number, path in enumerate(images)]
    gone = [f"photos/gone{number}.png,cat" for number in range(4)]
    dataset = load_dataset(write(tmp_path / "data.csv", "file,class", rows + gone[:2]))
    assert [Path(name).name for name in dataset.skipped] == ["gone0.png", "gone1.png"]
    with pytest.raises(DataError, match=r"4 of the 24 images .* are not there.*gone0.png.*images_in='FOLDER'"):
        load_collection(write(tmp_path / "data.csv", "file,class", rows + gone))


def test_images_may_be_elsewhere(images: list[Path], tmp_path: Path) -> None:
    (tmp_path / "tables").mkdir()
    rows = [f"{path.name},{label(number)}" for number, path in enumerate(images)]
    path = write(tmp_path / "tables" / "data.csv", "file,class", rows)
    with pytest.raises(DataError, match="images_in="):
        load_collection(path)
    check(load_collection(path, Reading(images_in=str(tmp_path))), images)


def test_a_name_that_several_files_have_is_refused(tmp_path: Path) -> None:
    write_images(tmp_path / "a", ["1.png", "2.png"])
    write_images(tmp_path / "b", ["1.png"])
    path = write(tmp_path / "data.csv", "file,class", ["1,cat", "2,dog"])
    with pytest.raises(DataError, match=r"1 may be any of .*a/1.png, .*b/1.png; name the folder too"):
        load_collection(path)
    rows = ["x/a/1,cat", "x/b/1,dog", "2,dog"]
    assert counts(load_collection(write(tmp_path / "data.csv", "file,class", rows))) == {"all": [1, 2]}


@pytest.mark.parametrize(
    ("header", "rows", "message"),
    [
        ("color,size", ["red,1", "blue,2"], "which of its columns is the file cannot be told"),
        (
            "file,width,height",
            ["photos/IMG_00.png,3,4"],
            r"of its columns is the class.*columns=\{'class': 'NAME'\}",
        ),
        ("", ["photos/IMG_00.png,a,b"], "no header and 3 columns"),
        ("file,class", ["photos/IMG_00.png,"], "line 2: file or class is empty"),
        ("file,class", [], "at least one row"),
    ],
)
def test_what_is_no_such_table_is_explained(
    header: str, rows: list[str], message: str, images: list[Path], tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=message):
        load_collection(write(tmp_path / "data.csv", header, rows))


def test_columns_may_be_named(images: list[Path], tmp_path: Path) -> None:
    rows = [f"photos/{path.name},3,{label(number)},x" for number, path in enumerate(images)]
    path = write(tmp_path / "data.csv", "file,a,b,c", rows)
    check(load_collection(path, Reading(columns={"class": "B"})), images)
    with pytest.raises(DataError, match="has no column d; it has file, a, b, c"):
        load_collection(path, Reading(columns={"class": "d"}))


@pytest.mark.parametrize("encoding", ["cp1252", "latin-1"])
def test_what_excel_writes_in_western_europe_is_read_and_said(
    encoding: str, images: list[Path], tmp_path: Path
) -> None:
    names = {"cat": "Gämse", "dog": "perdrix grisée"}
    rows = [f"photos/{path.name};{names[label(number)]}" for number, path in enumerate(images)]
    (tmp_path / "data.csv").write_text("\r\n".join(["file;class", *rows]), encoding=encoding)
    collection = load_collection(tmp_path / "data.csv")
    assert collection.labels == ("Gämse", "perdrix grisée")
    assert "data.csv is not UTF-8 and was read as Windows-1252: " in said(collection)
    assert "Gämse" in said(collection)


@pytest.mark.parametrize(
    ("content", "program"),
    [
        (b"PK\x03\x04\x14\0", "an Excel workbook or another zip archive"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1", "an Excel workbook"),
        (b"PAR1\x15\x04", "a Parquet file"),
        (b"\x1f\x8b\x08\0", "a gzip archive"),
    ],
)
def test_files_of_other_programs_under_the_name_of_a_table_are_named(
    content: bytes, program: str, tmp_path: Path
) -> None:
    (tmp_path / "labels.csv").write_bytes(content)
    with pytest.raises(DataError, match=f"labels.csv is {program}, not a table of text; save it as CSV"):
        load_collection(tmp_path / "labels.csv")


def test_other_encodings_and_damaged_json_are_said(tmp_path: Path) -> None:
    for words, encoding in (
        ("кошка", "cp1251"),
        ("猫", "shift_jis"),
        ("老虎", "gbk"),
        ("고양이", "euc_kr"),
        ("γάτα", "cp1253"),
    ):
        (tmp_path / "other.csv").write_text(f"file,class\na.png,{words}\n", encoding=encoding)
        with pytest.raises(DataError, match="line 2 is not UTF-8; save it as UTF-8"):
            load_collection(tmp_path / "other.csv")
    (tmp_path / "bad.json").write_text("[{")
    with pytest.raises(DataError, match="is not readable JSON"):
        load_collection(tmp_path / "bad.json")
    (tmp_path / "deep.json").write_text("[" * 100_000)
    with pytest.raises(DataError, match="is not readable JSON"):
        load_collection(tmp_path / "deep.json")


@pytest.mark.parametrize(
    "options",
    [
        {"parts": {"trains": "a"}},
        {"parts": {"test": "a"}},
        {"columns": {"label": "a"}},
        {"split_words": {"a": "dev"}},
        {"classes_from": "middle"},
        {"letter_case": "lower"},
    ],
)
def test_a_reading_says_what_it_does_not_know(options: dict[str, object]) -> None:
    with pytest.raises(DataError, match=r"not '|leave nothing to train on"):
        Reading.decode(options)
