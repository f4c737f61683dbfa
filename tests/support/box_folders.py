"""The same images with boxes in every form that is read."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

Box = tuple[str, float, float, float, float]
"""A class, then left, top, right and bottom in pixels."""
LABELS = ("cat", "dog")
BOXES: Mapping[str, tuple[str, Sequence[Box]]] = {
    "one": ("train", [("cat", 10, 20, 40, 60), ("dog", 50, 10, 90, 70)]),
    "two": ("train", []),
    "three": ("validation", [("dog", 0, 0, 100, 80)]),
    "four": ("test", [("cat", 5, 6, 7, 8)]),
}
"""Name → the part, and what is in the image."""
WIDTH, HEIGHT = 100, 80


def write_image(path: Path, size: tuple[int, int] = (WIDTH, HEIGHT), orientation: int | None = None) -> Path:
    """An image of its own content."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(sum(map(ord, str(path.name))))
    pixels = rng.integers(0, 256, (size[1], size[0], 3), np.uint8)
    exif = Image.Exif()
    if orientation is not None:
        exif[0x0112] = orientation
    Image.fromarray(pixels).save(path, exif=exif)
    return path


def coco(root: Path) -> Path:
    """A JSON file for each part in ``annotations``, images in folders of the parts."""
    for part, folder in (("train", "train2017"), ("validation", "val2017"), ("test", "test2017")):
        images: list[object] = []
        annotations: list[object] = []
        for number, (name, (where, boxes)) in enumerate(BOXES.items(), start=10):
            if where != part:
                continue
            write_image(root / folder / f"{name}.jpg")
            images.append({"id": number, "file_name": f"{name}.jpg", "width": WIDTH, "height": HEIGHT})
            for label, left, top, right, bottom in boxes:
                annotation = {"id": len(annotations), "image_id": number, "category_id": 7 * LABELS.index(label) + 1}
                annotations.append(annotation | {"bbox": [left, top, right - left, bottom - top], "iscrowd": 0})
        categories = [{"id": 7 * number + 1, "name": label} for number, label in enumerate(LABELS)]
        (root / "annotations").mkdir(exist_ok=True)
        text = json.dumps({"images": images, "annotations": annotations, "categories": categories})
        (root / "annotations" / f"instances_{folder}.json").write_text(text)
    return root


def coco_of(root: Path, images: Sequence[object], annotations: Sequence[object], categories: Sequence[object]) -> Path:
    """A folder of one COCO file of whatever rows."""
    text = json.dumps({"images": images, "annotations": annotations, "categories": categories})
    root.mkdir(parents=True, exist_ok=True)
    (root / "boxes.json").write_text(text)
    return root


def voc_xml(name: str, boxes: Sequence[Box], size: tuple[int, int] | None = (WIDTH, HEIGHT)) -> str:
    """An annotation of Pascal VOC."""
    objects = "".join(
        f"<object><name>{label}</name><difficult>0</difficult><bndbox><xmin>{left}</xmin><ymin>{top}</ymin>"
        f"<xmax>{right}</xmax><ymax>{bottom}</ymax></bndbox></object>"
        for label, left, top, right, bottom in boxes
    )
    sizes = "" if size is None else f"<size><width>{size[0]}</width><height>{size[1]}</height></size>"
    return f"<annotation><filename>{name}.jpg</filename>{sizes}{objects}</annotation>"


def voc(root: Path) -> Path:
    """Annotations, JPEGImages and ImageSets."""
    lists: dict[str, list[str]] = {"train": [], "validation": [], "test": []}
    for name, (part, boxes) in BOXES.items():
        write_image(root / "JPEGImages" / f"{name}.jpg")
        (root / "Annotations").mkdir(exist_ok=True)
        (root / "Annotations" / f"{name}.xml").write_text(voc_xml(name, boxes))
        lists[part].append(name)
    folder = root / "ImageSets" / "Main"
    folder.mkdir(parents=True)
    for part, names in lists.items():
        (folder / f"{'val' if part == 'validation' else part}.txt").write_text("\n".join(names) + "\n")
    (folder / "trainval.txt").write_text("\n".join(lists["train"] + lists["validation"]))
    return root


def voc_of(root: Path, images: Mapping[str, Sequence[Box]], size: tuple[int, int] | None = (WIDTH, HEIGHT)) -> Path:
    """Images with an XML file beside each, without parts."""
    for name, boxes in images.items():
        write_image(root / f"{name}.jpg")
        (root / f"{name}.xml").write_text(voc_xml(name, boxes, size))
    return root


def voc_beside(root: Path) -> Path:
    """Folders of parts with an XML file beside each image, as Roboflow exports them."""
    for name, (part, boxes) in BOXES.items():
        folder = root / {"train": "train", "validation": "valid", "test": "test"}[part]
        write_image(folder / f"{name}.jpg")
        (folder / f"{name}.xml").write_text(voc_xml(name, boxes))
    return root


def yolo_line(box: Box) -> str:
    """The class, and the centre, width and height as shares."""
    label, left, top, right, bottom = box
    numbers = ((left + right) / 2 / WIDTH, (top + bottom) / 2 / HEIGHT, (right - left) / WIDTH, (bottom - top) / HEIGHT)
    return f"{LABELS.index(label)} {' '.join(f'{number:.8f}' for number in numbers)}"


def yolo(root: Path) -> Path:
    """``images`` and ``labels`` with folders of the parts, and data.yaml."""
    for name, (part, boxes) in BOXES.items():
        folder = {"train": "train", "validation": "val", "test": "test"}[part]
        write_image(root / "images" / folder / f"{name}.jpg")
        label = root / "labels" / folder / f"{name}.txt"
        label.parent.mkdir(parents=True, exist_ok=True)
        if boxes:  # an image of nothing may have no file at all
            label.write_text("\n".join(map(yolo_line, boxes)) + "\n")
    (root / "data.yaml").write_text(
        f"# made by hand\npath: {root}\ntrain: images/train\nval: images/val\ntest: images/test\nnc: 2\n"
        "names:\n  0: cat\n  1: dog\n"
    )
    return root


def yolo_exported(root: Path) -> Path:
    """Folders of the parts that hold images and labels, and a data.yaml with paths of another folder."""
    for name, (part, boxes) in BOXES.items():
        folder = root / {"train": "train", "validation": "valid", "test": "test"}[part]
        write_image(folder / "images" / f"{name}.jpg")
        (folder / "labels").mkdir(exist_ok=True)
        (folder / "labels" / f"{name}.txt").write_text("\n".join(map(yolo_line, boxes)))
    (root / "data.yaml").write_text(
        "train: ../train/images\nval: ../valid/images\ntest: ../test/images\n\nnc: 2\nnames: ['cat', 'dog']\n"
    )
    return root


def yolo_darknet(root: Path) -> Path:
    """Images, labels beside them, names in a file, and lists of the parts."""
    for name, (_, boxes) in BOXES.items():
        write_image(root / "obj" / f"{name}.jpg")
        (root / "obj" / f"{name}.txt").write_text("\n".join(map(yolo_line, boxes)))
    for part, file in (("train", "train.txt"), ("validation", "valid.txt"), ("test", "test.txt")):
        (root / file).write_text("\n".join(f"obj/{name}.jpg" for name, (where, _) in BOXES.items() if where == part))
    (root / "data.yaml").write_text("train: train.txt\nval: valid.txt\ntest: test.txt\nnames: [cat, dog]\n")
    return root


def csv_of_corners(root: Path) -> Path:
    """A table with the header of TensorFlow's tools, and a column of the split."""
    rows = ["filename,width,height,class,xmin,ymin,xmax,ymax,split"]
    for name, (part, boxes) in BOXES.items():
        write_image(root / "images" / f"{name}.jpg")
        for label, *numbers in boxes:
            rows.append(f"{name}.jpg,{WIDTH},{HEIGHT},{label},{','.join(map(str, numbers))},{part}")
        if not boxes:
            rows.append(f"{name}.jpg,{WIDTH},{HEIGHT},,,,,,{part}")
    (root / "boxes.csv").write_text("\n".join(rows))
    return root


def csv_of_parts(root: Path) -> Path:
    """A table in each folder of a part: left, top, width and height."""
    for part, folder in (("train", "train"), ("validation", "valid"), ("test", "test")):
        rows = ["image_id;label;x;y;w;h"]
        for name, (where, boxes) in BOXES.items():
            if where == part:
                write_image(root / folder / f"{name}.jpg")
                rows += [f"{name};{label};{a};{b};{c - a};{d - b}" for label, a, b, c, d in boxes] or [f"{name};;;;;"]
        (root / folder / "_annotations.csv").write_text("\n".join(rows))
    return root


def csv_of_shares(root: Path) -> Path:
    """The columns of Open Images, whose corners are shares."""
    rows = ["ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax,IsGroupOf,Subset"]
    for name, (part, boxes) in BOXES.items():
        write_image(root / f"{name}.jpg")
        for label, a, b, c, d in boxes:
            rows.append(f"{name},x,{label},1,{a / WIDTH},{c / WIDTH},{b / HEIGHT},{d / HEIGHT},0,{part}")
        if not boxes:
            rows.append(f"{name},x,,1,,,,,0,{part}")
    (root / "boxes.csv").write_text("\n".join(rows))
    return root


def cvat(root: Path) -> Path:
    """One file of all images, with the subset of each."""
    images = []
    for number, (name, (part, boxes)) in enumerate(BOXES.items()):
        write_image(root / "images" / f"{name}.jpg")
        objects = "".join(
            f'<box label="{label}" source="manual" occluded="0" xtl="{a}" ytl="{b}" xbr="{c}" ybr="{d}" z_order="0"/>'
            for label, a, b, c, d in boxes
        )
        subset = f'subset="{part.title()}" width="{WIDTH}" height="{HEIGHT}"'
        images.append(f'<image id="{number}" name="{name}.jpg" {subset}>{objects}</image>')
    meta = "<version>1.1</version><meta><task><id>1</id></task></meta>"
    (root / "annotations.xml").write_text(f"<?xml version='1.0'?>\n<annotations>{meta}{''.join(images)}</annotations>")
    return root


def _in_parts(root: Path) -> dict[str, tuple[Path, Sequence[Box]]]:
    """Images in folders of the parts: name → its folder, and what is in it."""
    folders = {"train": root / "train", "validation": root / "val", "test": root / "test"}
    for name, (part, _) in BOXES.items():
        write_image(folders[part] / f"{name}.jpg")
    return {name: (folders[part], boxes) for name, (part, boxes) in BOXES.items()}


def labelme(root: Path) -> Path:
    """A JSON file beside each image; the second point may be the upper left one."""
    for name, (folder, boxes) in _in_parts(root).items():
        shapes: list[object] = [
            {"label": label, "points": [[c, d], [a, b]], "group_id": None, "shape_type": "rectangle", "flags": {}}
            for label, a, b, c, d in boxes
        ]
        sizes = {"imagePath": f"{name}.jpg", "imageData": None, "imageHeight": HEIGHT, "imageWidth": WIDTH}
        (folder / f"{name}.json").write_text(json.dumps({"version": "5.0.1", "shapes": shapes, **sizes}))
    return root


def _label_studio_value(box: Box) -> dict[str, object]:
    label, left, top, right, bottom = box
    sides = {"x": 100 * left / WIDTH, "y": 100 * top / HEIGHT}
    sides |= {"width": 100 * (right - left) / WIDTH, "height": 100 * (bottom - top) / HEIGHT}
    return {**sides, "rotation": 0, "rectanglelabels": [label]}


def label_studio(root: Path) -> Path:
    """A project for each part: tasks with their annotations, and images called as they were uploaded."""
    _in_parts(root)
    for part, file in (("train", "train"), ("validation", "val"), ("test", "test")):
        tasks = [
            {
                "data": {"image": f"/data/upload/1/0a1b2c3d-{name}.jpg"},
                "annotations": [
                    {"result": [{"type": "rectanglelabels", "value": _label_studio_value(b)} for b in boxes]}
                ],
            }
            for name, (where, boxes) in BOXES.items()
            if where == part
        ]
        (root / f"{file}.json").write_text(json.dumps(tasks))
    return root


def via(root: Path) -> Path:
    """A file of the VGG annotator in each folder."""
    records: dict[Path, dict[str, object]] = {}
    for name, (folder, boxes) in _in_parts(root).items():
        regions = [
            {
                "shape_attributes": {"name": "rect", "x": a, "y": b, "width": c - a, "height": d - b},
                "region_attributes": {"type": label},
            }
            for label, a, b, c, d in boxes
        ]
        records.setdefault(folder, {})[f"{name}.jpg1"] = {"filename": f"{name}.jpg", "size": 1, "regions": regions}
    for folder, images in records.items():
        (folder / "via_region_data.json").write_text(json.dumps(images))
    return root


def create_ml(root: Path) -> Path:
    """A file of Create ML in each folder: centres, widths and heights."""
    records: dict[Path, list[object]] = {}
    for name, (folder, boxes) in _in_parts(root).items():
        objects = [
            {"label": label, "coordinates": {"x": (a + c) / 2, "y": (b + d) / 2, "width": c - a, "height": d - b}}
            for label, a, b, c, d in boxes
        ]
        records.setdefault(folder, []).append({"image": f"{name}.jpg", "annotations": objects})
    for folder, images in records.items():
        (folder / "_annotations.createml.json").write_text(json.dumps(images))
    return root


def image_folder(root: Path) -> Path:
    """A metadata.jsonl in each folder, as the libraries of Hugging Face read folders of images."""
    lines: dict[Path, list[str]] = {}
    for name, (folder, boxes) in _in_parts(root).items():
        objects = {"bbox": [[a, b, c - a, d - b] for _, a, b, c, d in boxes], "categories": [box[0] for box in boxes]}
        lines.setdefault(folder, []).append(json.dumps({"file_name": f"{name}.jpg", "objects": objects}))
    for folder, rows in lines.items():
        (folder / "metadata.jsonl").write_text("\n".join(rows))
    return root


FORMS = {
    form.__name__: form
    for form in (
        coco,
        voc,
        voc_beside,
        yolo,
        yolo_exported,
        yolo_darknet,
        csv_of_corners,
        csv_of_parts,
        csv_of_shares,
        cvat,
        labelme,
        label_studio,
        via,
        create_ml,
        image_folder,
    )
}
"""Every form, by its name."""
