"""Data with boxes, in every form that is read, gives the same dataset."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.conftest import ROOT
from tests.support.box_folders import BOXES, FORMS, LABELS, coco_of, voc_of, write_image, yolo
from tests.support.hostile_json import HOSTILE, changed, places

from mobilenets.data.dataset import Collection, load_collection, load_dataset
from mobilenets.data.reading import Reading
from mobilenets.errors import DataError

BCCD = ROOT.parent / "shared" / "data" / "bccd"


def boxes_of(collection: Collection) -> dict[str, tuple[str, list[tuple[object, ...]]]]:
    """What is in every image, as :data:`BOXES` has it."""
    return {
        Path(image.name).stem: (
            part,
            [
                (collection.labels[label], *np.round(box, 3).tolist())
                for label, box in zip(truth.labels, truth.boxes.astype(float), strict=True)
            ],
        )
        for part, subset in collection.parts.items()
        for image, truth in zip(subset.images, subset.targets, strict=True)
    }


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_same_boxes(form: str, tmp_path: Path) -> None:
    collection = load_collection(FORMS[form](tmp_path / "data"))
    assert (collection.task, collection.labels) == ("detection", LABELS)
    assert boxes_of(collection) == {name: (part, [*boxes]) for name, (part, boxes) in BOXES.items()}
    assert all(truth.size == (100, 80) for subset in collection.parts.values() for truth in subset.targets)


@pytest.mark.parametrize("form", FORMS)
def test_the_same_data_has_the_same_fingerprint_in_every_form(form: str, tmp_path: Path) -> None:
    other = load_dataset(FORMS["voc"](tmp_path / "other"))
    assert load_dataset(FORMS[form](tmp_path / "data")).fingerprint == other.fingerprint


@pytest.mark.parametrize(
    ("form", "file"),
    [("yolo", "data.yaml"), ("csv_of_corners", "boxes.csv"), ("coco", "annotations/instances_train2017.json")],
)
def test_a_file_that_describes_boxes_is_a_source(form: str, file: str, tmp_path: Path) -> None:
    collection = load_collection(FORMS[form](tmp_path) / file)
    assert "one" in boxes_of(collection)


def test_parts_that_are_not_given_are_drawn_and_equal_images_stay_together(tmp_path: Path) -> None:
    images = {f"{number}": [("cat" if number % 2 else "dog", 1, 2, 30, 40)] for number in range(60)}
    voc_of(tmp_path, images)
    for number in range(5):  # copies under other names
        (tmp_path / f"{number}.jpg").write_bytes((tmp_path / "50.jpg").read_bytes())
    dataset = load_dataset(tmp_path)
    sizes = {part: len(dataset.part(part)) for part in ("train", "validation", "test")}
    assert sum(sizes.values()) == 60
    assert 4 <= sizes["validation"] <= 12
    assert dataset.duplicates.leaks == ()
    assert load_dataset(tmp_path).fingerprint == dataset.fingerprint
    assert load_dataset(tmp_path, seed=1).fingerprint != dataset.fingerprint


def test_parts_can_be_named_or_not_read(tmp_path: Path) -> None:
    source = FORMS["voc_beside"](tmp_path)
    swapped = load_collection(source, Reading(parts={"train": "test", "test": "train"}))
    assert {part: len(subset) for part, subset in swapped.parts.items()} == {"train": 1, "test": 2}
    assert list(load_collection(source, Reading(find_parts=False)).parts) == ["all"]


def test_annotations_that_are_left_out_make_a_classifier_of_class_folders(tmp_path: Path) -> None:
    for label in LABELS:
        voc_of(tmp_path / label, {f"{label}{number}": [(label, 1, 1, 9, 9)] for number in range(3)})
    assert load_collection(tmp_path).task == "detection"
    assert load_collection(tmp_path, Reading(exclude=("*.xml",))).task == "classification"


def test_a_missing_image_is_left_out_by_name_and_many_are_an_error(tmp_path: Path) -> None:
    source = voc_of(tmp_path, {f"{number}": [("cat", 1, 2, 3, 4)] for number in range(12)})
    (source / "3.jpg").unlink()
    collection = load_collection(source)
    assert any("1 image with an annotation that are not there" in finding.message for finding in collection.findings)
    (source / "4.jpg").unlink()
    with pytest.raises(DataError, match=r"2 of the 12 images that .* describes are not there.*3.jpg \(in 3.xml\)"):
        load_collection(source)


def test_an_image_that_cannot_be_decoded_is_skipped_when_it_is_read(tmp_path: Path) -> None:
    source = voc_of(tmp_path, {f"{number}": [("cat", 1, 2, 3, 4)] for number in range(12)})
    (source / "3.jpg").write_bytes(b"\xff\xd8\xff broken")
    assert len(load_collection(source).parts["all"]) == 12


CATS, ONE = [{"id": 1, "name": "cat"}], [{"id": 5, "file_name": "one.jpg"}]


@pytest.mark.parametrize(
    ("images", "annotation", "message"),
    [
        (ONE, {"category_id": 3}, r"annotation 9 is of category 3; the categories are 1 \(cat\)"),
        (ONE, {"image_id": 6}, "annotation 9 is of image 6, which is not in the list of images"),
        (ONE, {"bbox": [1, 2, 3]}, r"annotation 9 has the bbox \[1, 2, 3\]; expected left, top, width and height"),
        (ONE, {"bbox": "large"}, "has the bbox 'large'"),
        ([{"id": 5}], {}, "image 5 has no file_name"),
        ([5], {}, "'images' must be a list of objects"),
    ],
)
def test_damaged_coco_files_say_what_is_wrong(
    images: list[object], annotation: dict[str, object], message: str, tmp_path: Path
) -> None:
    write_image(tmp_path / "one.jpg")
    row = {"id": 9, "image_id": 5, "category_id": 1, "bbox": [1, 2, 3, 4]} | annotation
    with pytest.raises(DataError, match=message):
        load_collection(coco_of(tmp_path, images, [row], CATS))


def test_a_category_that_nothing_shows_is_left_out(tmp_path: Path) -> None:
    write_image(tmp_path / "one.jpg")
    row = {"id": 9, "image_id": 5, "category_id": 1, "bbox": [1, 2, 3, 4]}
    collection = load_collection(coco_of(tmp_path, ONE, [row], [{"id": 0, "name": "animals"}, *CATS]))
    assert collection.labels == ("cat",)
    assert any("1 class without any box left out: animals" in finding.message for finding in collection.findings)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("2 .5 .5 .1 .1", "line 1: class 2; data.yaml names 2 classes, 0 to 1"),
        ("0 .5 .5 .1", "line 1: 4 numbers; expected the class, the centre, width and height"),
        ("0 .5 .5 .1 wide", "line 1: expected numbers with blanks between them, not '0 .5 .5 .1 wide'"),
    ],
)
def test_damaged_yolo_files_say_what_is_wrong(line: str, message: str, tmp_path: Path) -> None:
    yolo(tmp_path)
    (tmp_path / "labels" / "train" / "one.txt").write_text(line)
    with pytest.raises(DataError, match=message):
        load_collection(tmp_path)


def test_polygons_in_yolo_files_become_the_boxes_around_them(tmp_path: Path) -> None:
    yolo(tmp_path)
    (tmp_path / "labels" / "train" / "one.txt").write_text("0 0.1 0.25 0.4 0.5 0.2 0.75")
    assert boxes_of(load_collection(tmp_path))["one"] == ("train", [("cat", 10, 20, 40, 60)])


def test_yolo_files_without_names_of_the_classes_say_what_to_write(tmp_path: Path) -> None:
    yolo(tmp_path)
    (tmp_path / "data.yaml").unlink()
    with pytest.raises(DataError, match=r"nothing says what they are called; write .*data.yaml"):
        load_collection(tmp_path)
    (tmp_path / "classes.txt").write_text("cat\ndog\n")
    assert load_collection(tmp_path).labels == LABELS


@pytest.mark.parametrize(
    ("xml", "message"),
    [
        ("<annotation><object>", "not readable XML"),
        ("<annotation><object><name></name></object></annotation>", "object 1 has no name"),
        (
            "<annotation><object><name>cat</name></object></annotation>",
            "object 1 has no bndbox with xmin, ymin, xmax and ymax",
        ),
        ('<!DOCTYPE a [<!ENTITY b "c">]><annotation>&b;</annotation>', "entities of its own"),
    ],
)
def test_damaged_xml_says_what_is_wrong(xml: str, message: str, tmp_path: Path) -> None:
    voc_of(tmp_path, {"one": [("cat", 1, 2, 3, 4)]})
    (tmp_path / "one.xml").write_text(xml)
    with pytest.raises(DataError, match=message):
        load_collection(tmp_path)


@pytest.mark.parametrize(
    ("rows", "boxes"),
    [
        (["image,bbox", 'one.jpg,"[10, 20, 30, 40]"'], [("object", 10, 20, 40, 60)]),
        (["one.jpg,10,20,40,60,cat"], [("cat", 10, 20, 40, 60)]),
        (["TRAIN,one.jpg,cat,0.1,0.25,,,0.4,0.75,,"], [("cat", 10, 20, 40, 60)]),
        (["path,name,x_center,y_center,width,height", "one.jpg,cat,25,40,30,40"], [("cat", 10, 20, 40, 60)]),
        (["file,label,bbox_xmin,bbox_ymin,bbox_xmax,bbox_ymax", "one.jpg,cat,10,20,40,60"], [("cat", 10, 20, 40, 60)]),
        (["filename,class,x1,y1,x2,y2", "C:\\data\\one.jpg,cat,10,20,40,60"], [("cat", 10, 20, 40, 60)]),
    ],
)
def test_tables_of_boxes_have_many_headers(rows: list[str], boxes: list[tuple[object, ...]], tmp_path: Path) -> None:
    write_image(tmp_path / "one.jpg")
    (tmp_path / "boxes.csv").write_text("\n".join(rows))
    assert boxes_of(load_collection(tmp_path))["one"][1] == boxes


def test_a_table_with_a_number_that_is_none_says_where(tmp_path: Path) -> None:
    write_image(tmp_path / "one.jpg")
    (tmp_path / "boxes.csv").write_text("filename,class,xmin,ymin,xmax,ymax\none.jpg,cat,1,2,three,4\n")
    with pytest.raises(DataError, match=r"line 2: expected the four numbers of a box, not '1, 2, three, 4'"):
        load_collection(tmp_path)


def test_a_table_of_classes_is_no_table_of_boxes(tmp_path: Path) -> None:
    for label in LABELS:
        for number in range(3):
            write_image(tmp_path / f"{label}{number}.jpg")
    rows = [f"{label}{number}.jpg,{label},640,480" for label in LABELS for number in range(3)]
    (tmp_path / "labels.csv").write_text("\n".join(["file,class,width,height", *rows]))
    assert load_collection(tmp_path).task == "classification"


def test_a_source_without_any_box_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="describes 1 image and no box in any of them"):
        load_collection(voc_of(tmp_path, {"one": []}))


@pytest.mark.skipif(not BCCD.exists(), reason="../shared/data/bccd is not there")
def test_bccd_has_its_own_splits() -> None:
    dataset = load_dataset(BCCD)
    assert (len(dataset.train), len(dataset.validation), len(dataset.test)) == (205, 87, 72)
    assert dataset.labels == ("Platelets", "RBC", "WBC")
    assert sum(len(truth.boxes) for truth in dataset.test.targets) == 945
    assert any("2 boxes without an area" in finding.message for finding in dataset.findings)
    assert json.dumps([finding.to_json() for finding in dataset.findings])


def test_boxes_that_were_drawn_on_the_stored_image_are_turned_with_it(tmp_path: Path) -> None:
    pixels = np.zeros((80, 100, 3), np.uint8)
    pixels[20:60, 10:40] = 255
    for orientation in (5, 6, 7, 8):
        exif = Image.Exif()
        exif[0x0112] = orientation
        folder = tmp_path / str(orientation)
        voc_of(folder, {"one": [("cat", 10, 20, 40, 60)]})
        Image.fromarray(pixels).save(folder / "one.jpg", exif=exif, quality=100)
        collection = load_collection(folder)
        (truth,) = collection.parts["all"].targets
        upright = np.asarray(collection.parts["all"].images[0].open())
        rows, columns = np.nonzero(upright[..., 0] > 128)
        assert truth.size == (80, 100)
        expected = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        np.testing.assert_allclose(truth.boxes[0], expected, atol=1)


BOX = {"id": 9, "image_id": 5, "category_id": 1, "bbox": [10, 20, 30, 40]}


def test_coco_objects_with_a_polygon_and_no_box_get_the_box_around_it(tmp_path: Path) -> None:
    write_image(tmp_path / "one.jpg")
    polygon = {
        "id": 1,
        "image_id": 5,
        "category_id": 1,
        "segmentation": [[50, 20, 80, 20, 80, 60], [45, 30, 50, 30, 50, 40]],
    }
    masked = polygon | {"id": 2, "segmentation": {"counts": "abc", "size": [80, 100]}}
    collection = load_collection(coco_of(tmp_path, ONE, [polygon, masked], CATS))
    assert boxes_of(collection)["one"][1] == [("cat", 45, 20, 80, 60)]
    assert [finding.message for finding in collection.findings] == [
        "1 annotation of boxes.json without a box or a polygon"
    ]


def test_coco_ids_are_the_same_as_number_and_as_text(tmp_path: Path) -> None:
    write_image(tmp_path / "one.jpg")
    collection = load_collection(coco_of(tmp_path, ONE, [BOX | {"image_id": "5", "category_id": "1"}], CATS))
    assert boxes_of(collection)["one"][1] == [("cat", 10, 20, 40, 60)]


def test_coco_boxes_in_shares_are_told_from_pixels(tmp_path: Path) -> None:
    write_image(tmp_path / "one.jpg")
    collection = load_collection(coco_of(tmp_path, ONE, [BOX | {"bbox": [0.1, 0.25, 0.3, 0.5]}], CATS))
    assert boxes_of(collection)["one"][1] == [("cat", 10, 20, 40, 60)]
    assert [finding.message for finding in collection.findings] == [
        "the boxes of boxes.json are shares of the width and height, not pixels"
    ]


@pytest.mark.parametrize(
    ("images", "categories", "message"),
    [
        ([*ONE, {"id": 5, "file_name": "two.jpg"}], CATS, "the images one.jpg and two.jpg have one id, 5"),
        (ONE, [*CATS, {"id": 1, "name": "dog"}], "the categories cat and dog have one id, 1"),
    ],
)
def test_two_of_one_id_are_an_error(
    images: list[object], categories: list[object], message: str, tmp_path: Path
) -> None:
    write_image(tmp_path / "one.jpg")
    with pytest.raises(DataError, match=message):
        load_collection(coco_of(tmp_path, images, [BOX], categories))


def test_images_are_not_looked_for_outside_of_the_source(tmp_path: Path) -> None:
    write_image(tmp_path / "elsewhere" / "one.jpg")
    with pytest.raises(DataError, match=r"1 of the 1 images that .* describes are not there"):
        load_collection(coco_of(tmp_path / "data", ONE, [BOX], CATS))


def test_a_folder_of_annotations_finds_the_images_beside_it(tmp_path: Path) -> None:
    source = FORMS["coco"](tmp_path) / "annotations"
    assert set(boxes_of(load_collection(source))) == set(BOXES)


def test_keypoints_in_yolo_files_are_no_polygon(tmp_path: Path) -> None:
    yolo(tmp_path)
    with (tmp_path / "data.yaml").open("a") as file:
        file.write("kpt_shape: [2, 3]\n")
    line = "0 0.25 0.5 0.3 0.5 0.1 0.2 2 0.3 0.4 2"
    (tmp_path / "labels" / "train" / "one.txt").write_text(line)
    assert boxes_of(load_collection(tmp_path))["one"] == ("train", [("cat", 10, 20, 40, 60)])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "train: images/train\nval: images/val\nnc: 2\n",
            "data.yaml does not say what the classes are called; add a line",
        ),
        ("train: [images/train\nnames: [cat, dog]", "data.yaml is not readable: line 1 opens a bracket"),
        (
            "train: images/train\nnames: [cat, dog]\nkpt_shape: many",
            "kpt_shape must be two numbers, such as .17, 3., not 'many'",
        ),
    ],
)
def test_a_damaged_data_yaml_says_what_is_wrong(text: str, message: str, tmp_path: Path) -> None:
    yolo(tmp_path)
    (tmp_path / "data.yaml").write_text(text)
    with pytest.raises(DataError, match=message):
        load_collection(tmp_path)


def test_yolo_files_with_pixels_say_so(tmp_path: Path) -> None:
    yolo(tmp_path)
    (tmp_path / "labels" / "train" / "one.txt").write_text("0 25 40 30 40")
    with pytest.raises(DataError, match="read as shares of the width and height, from 0 to 1, and look like pixels"):
        load_collection(tmp_path)


def test_images_with_boxes_that_data_yaml_does_not_name_are_counted(tmp_path: Path) -> None:
    yolo(tmp_path)
    write_image(tmp_path / "images" / "more" / "five.jpg")
    (tmp_path / "labels" / "more").mkdir()
    (tmp_path / "labels" / "more" / "five.txt").write_text("0 .5 .5 .1 .1")
    messages = [finding.message for finding in load_collection(tmp_path).findings]
    assert "1 image with boxes in none of the parts that data.yaml names" in messages


def test_training_images_without_any_box_are_an_error(tmp_path: Path) -> None:
    yolo(tmp_path)
    (tmp_path / "labels" / "train" / "one.txt").unlink()
    with pytest.raises(DataError, match=r"none of the 2 training images of .* \(images/train\) has a box"):
        load_collection(tmp_path)


@pytest.mark.parametrize(
    ("shape", "box"),
    [
        ("<polygon><x1>10</x1><y1>20</y1><x2>40</x2><y2>60</y2><x3>15</x3><y3>70</y3></polygon>", (10, 20, 40, 70)),
        ("<robndbox><cx>50</cx><cy>40</cy><w>20</w><h>60</h><angle>1.5707963</angle></robndbox>", (20, 30, 80, 50)),
    ],
)
def test_other_shapes_in_voc_files_become_the_boxes_around_them(
    shape: str, box: tuple[float, ...], tmp_path: Path
) -> None:
    voc_of(tmp_path, {"one": [("cat", 1, 2, 3, 4)]})
    (tmp_path / "one.xml").write_text(f"<annotation><object><name>cat</name>{shape}</object></annotation>")
    assert boxes_of(load_collection(tmp_path))["one"][1] == [("cat", *box)]


def test_voc_boxes_say_which_number_is_none(tmp_path: Path) -> None:
    voc_of(tmp_path, {"one": [("cat", 1, 2, 3, 4)]})
    xml = (tmp_path / "one.xml").read_text().replace("<ymin>2<", "<ymin>2,5<")
    (tmp_path / "one.xml").write_text(xml)
    with pytest.raises(DataError, match=r"object 1 has a bndbox of .*ymin '2,5'.*; expected numbers for xmin, ymin"):
        load_collection(tmp_path)


@pytest.mark.parametrize("name", ["AAA.xml", "zzz.xml"])
def test_xml_of_another_kind_beside_annotations_is_passed_over(name: str, tmp_path: Path) -> None:
    voc_of(tmp_path, {"one": [("cat", 1, 2, 30, 40)]})
    (tmp_path / name).write_text("<project><module/></project>")
    collection = load_collection(tmp_path)
    assert set(boxes_of(collection)) == {"one"}
    assert [finding.message for finding in collection.findings] == [
        "1 XML file of another kind beside the annotations, not read"
    ]


def test_classes_that_differ_in_case_only_are_merged_or_kept_as_asked(tmp_path: Path) -> None:
    voc_of(tmp_path, {"one": [("Cat", 1, 2, 30, 40), ("cat", 50, 2, 70, 40)]})
    with pytest.raises(DataError, match="letter_case='merge'"):
        load_collection(tmp_path)
    merged = load_collection(tmp_path, Reading(letter_case="merge"))
    assert (merged.labels, merged.parts["all"].targets[0].labels.tolist()) == (("Cat",), [0, 0])
    assert load_collection(tmp_path, Reading(letter_case="keep")).labels == ("Cat", "cat")


def test_classes_are_left_out_by_name(tmp_path: Path) -> None:
    collection = load_collection(FORMS["voc"](tmp_path), Reading(exclude=("dog",)))
    assert boxes_of(collection)["one"] == ("train", [("cat", 10, 20, 40, 60)])
    assert boxes_of(collection)["three"] == ("validation", [])
    assert "2 boxes of dog, as asked" in [finding.message for finding in collection.findings]


def test_a_table_without_header_may_begin_with_the_class(tmp_path: Path) -> None:
    for name in ("one", "two"):
        write_image(tmp_path / f"{name}.jpg")
    rows = ["cat,10,20,30,40,one.jpg,100,80", "dog,50,20,30,40,two.jpg,100,80"]
    (tmp_path / "labels_makesense.csv").write_text("\n".join(rows))
    assert boxes_of(load_collection(tmp_path))["one"] == ("all", [("cat", 10, 20, 40, 60)])


@pytest.mark.parametrize(
    ("header", "program"),
    [
        ("filename,file_size,region_count,region_id,region_shape_attributes,region_attributes", "VGG annotator"),
        ('id,image,label\n1,one.jpg,"[{""x"": 1, ""rectanglelabels"": [""cat""]}]"', "Label Studio"),
    ],
)
def test_tables_with_json_in_their_cells_are_refused(header: str, program: str, tmp_path: Path) -> None:
    write_image(tmp_path / "one.jpg")
    (tmp_path / "project.csv").write_text(f"{header}\n")
    with pytest.raises(DataError, match=rf"holds boxes as JSON in cells, which is not read; export .*{program}"):
        load_collection(tmp_path)


def test_turned_boxes_become_those_around_them(tmp_path: Path) -> None:
    write_image(tmp_path / "cvat" / "one.jpg")
    box = '<box label="cat" xtl="40" ytl="10" xbr="60" ybr="70" rotation="90.0"/>'
    image = f'<image id="0" name="one.jpg" width="100" height="80">{box}</image>'
    (tmp_path / "cvat" / "annotations.xml").write_text(f"<annotations>{image}</annotations>")
    assert boxes_of(load_collection(tmp_path / "cvat"))["one"][1] == [("cat", 20, 30, 80, 50)]
    write_image(tmp_path / "studio" / "one.jpg")
    value = {"x": 80, "y": 25, "width": 20, "height": 60, "rotation": 90, "rectanglelabels": ["cat"]}
    value |= {"original_width": 100, "original_height": 80}
    record = {"image": "/data/upload/1/one.jpg", "id": 1, "label": [value]}
    (tmp_path / "studio" / "project.json").write_text(json.dumps([record]))
    assert boxes_of(load_collection(tmp_path / "studio"))["one"][1] == [("cat", 32, 20, 80, 40)]


@pytest.mark.parametrize(
    ("form", "change", "message"),
    [
        ("labelme", ("points", "corners"), "json, record 1 is not as LabelMe writes boxes: 'points' is missing"),
        ("create_ml", ('"width"', '"wide"'), "record 1 is not as Create ML writes boxes: 'width' is missing"),
        ("via", ('"x"', '"left"'), "record 1 is not as the VGG annotator writes boxes: 'x' is missing"),
        (
            "label_studio",
            ('"y": 25.0', '"y": "low"'),
            "record 1 is not as Label Studio writes boxes: could not convert",
        ),
        ("image_folder", ("[10, 20, 30, 40]", "[10, 20]"), "record 1 is not as Hugging Face writes boxes"),
        ("cvat", ("xtl", "left"), "one.jpg, box 1 has .*; expected xtl, ytl, xbr, ybr"),
    ],
)
def test_damaged_files_of_other_programs_say_what_is_wrong(
    form: str, change: tuple[str, str], message: str, tmp_path: Path
) -> None:
    FORMS[form](tmp_path)
    for file in (*tmp_path.rglob("*.json*"), *tmp_path.rglob("*.xml")):
        file.write_text(file.read_text().replace(*change))
    with pytest.raises(DataError, match=message):
        load_collection(tmp_path)


def test_boxes_narrower_than_a_pixel_are_named(tmp_path: Path) -> None:
    collection = load_collection(voc_of(tmp_path, {"one": [("cat", 0.1, 0.2, 0.4, 0.7), ("cat", 10, 20, 40, 60)]}))
    assert [finding.message for finding in collection.findings] == ["1 box narrower or lower than a pixel"]


def test_coco_boxes_that_look_like_corners_are_warned_of(tmp_path: Path) -> None:
    write_image(tmp_path / "one.jpg")
    rows = [BOX | {"id": number, "bbox": [60 + number, 40, 90 + number, 75]} for number in range(8)]
    sized = [ONE[0] | {"width": 100, "height": 80}]
    messages = [finding.message for finding in load_collection(coco_of(tmp_path, sized, rows, CATS)).findings]
    assert any("look like left, top, right and bottom" in message for message in messages)
    right = load_collection(
        coco_of(tmp_path, sized, [BOX | {"bbox": [5, 5, 98, 70]}, BOX | {"bbox": [60, 10, 20, 30]}], CATS)
    )
    assert not any("look like" in finding.message for finding in right.findings)


def test_corners_in_lines_of_json_are_told_from_sides(tmp_path: Path) -> None:
    write_image(tmp_path / "one.jpg")
    objects = {"bbox": [[10, 20, 40, 60], [50, 10, 90, 70], [60, 50, 100, 80]], "categories": ["cat", "cat", "dog"]}
    record = {"file_name": "one.jpg", "width": 100, "height": 80, "objects": objects}
    (tmp_path / "metadata.jsonl").write_text(json.dumps(record))
    found = boxes_of(load_collection(tmp_path))["one"][1]
    assert found == [("cat", 10, 20, 40, 60), ("cat", 50, 10, 90, 70), ("dog", 60, 50, 100, 80)]


@pytest.mark.parametrize(
    ("orientation", "size", "unsure"), [(3, (100, 80), 1), (6, None, 1), (6, (100, 80), 0), (1, None, 0)]
)
def test_images_that_exif_turns_are_named_where_nothing_says_how_boxes_were_drawn(
    orientation: int, size: tuple[int, int] | None, unsure: int, tmp_path: Path
) -> None:
    voc_of(tmp_path, {"one": [("cat", 1, 2, 30, 40)]}, size)
    write_image(tmp_path / "one.jpg", orientation=orientation)
    messages = [finding.message for finding in load_collection(tmp_path).findings]
    assert sum("nothing says if boxes were drawn before" in message for message in messages) == unsure


@pytest.mark.parametrize("form", ["coco", "labelme", "label_studio", "via", "create_ml", "image_folder"])
def test_a_json_file_with_one_hostile_value_is_read_or_refused_in_words(form: str, tmp_path: Path) -> None:
    FORMS[form](tmp_path)
    file = next(one for one in sorted(tmp_path.rglob("*.json*")) if "one" in one.read_text())
    first, *rest = file.read_text().split("\n") if file.suffix == ".jsonl" else [file.read_text()]
    rng = np.random.default_rng(0)
    cases = [(path, value) for path in places(json.loads(first)) for value in HOSTILE[:-1]]
    for number in rng.permutation(len(cases))[:60].tolist():
        path, value = cases[number]
        file.write_text("\n".join([json.dumps(changed(json.loads(first), path, "replace", value)), *rest]))
        with suppress(DataError):
            load_collection(tmp_path)


@pytest.mark.parametrize(
    "line",
    [
        "10 20 40 20 40 60 10 60 cat 0",
        "Car 0.00 0 -1.58 587.01 173.33 614.12 200.12",
        "0,0.25,0.5,0.3,0.5",
        "0 250 400 30 40",
    ],
)
def test_text_files_with_other_numbers_are_refused_in_words(line: str, tmp_path: Path) -> None:
    for label in LABELS:
        for number in range(3):
            write_image(tmp_path / label / f"{label}{number}.jpg")
            (tmp_path / label / f"{label}{number}.txt").write_text(f"{line}\n")
    with pytest.raises(DataError, match=r"holds lines such as .*, which are none of YOLO's: the number of a class"):
        load_collection(tmp_path)
    assert load_collection(tmp_path, Reading(exclude=("*.txt",))).task == "classification"


def test_captions_beside_images_are_no_boxes(tmp_path: Path) -> None:
    for label in LABELS:
        for number in range(3):
            write_image(tmp_path / label / f"{label}{number}.jpg")
            (tmp_path / label / f"{label}{number}.txt").write_text(f"a {label}, 35 mm, 2 of 3\n")
    assert load_collection(tmp_path).task == "classification"
