"""What people call options in other programs, and what is meant by it here."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches

MEANT = {
    "--output": ("--out", "--output-dir", "--outdir", "--save", "--save-dir", "--project", "--name", "--dest"),
    "--batch-size": ("--batch", "--bs", "--minibatch", "--batchsize"),
    "--epochs": ("--epoch", "--iterations", "--passes", "--num-epochs", "--max-epochs", "--steps"),
    "--resolution": ("--imgsz", "--img-size", "--image-size", "--input-size", "--size", "--res", "--side", "--pixels"),
    "--width": ("--alpha", "--width-multiplier", "--width-mult", "--multiplier"),
    "--architecture": ("--arch", "--network", "--net", "--model", "--backbone"),
    "--weights": ("--pretrained", "--checkpoint", "--init", "--start", "--from", "--finetune", "--fine-tune"),
    "--models": ("--weights", "--model", "--architecture", "--architectures", "--arch", "--network", "--networks"),
    "--train-on": ("--gpu", "--cuda", "--cpu"),
    "--training-threads": ("--workers", "--num-workers", "--jobs", "--cores"),
    "--threads": ("--workers", "--num-workers", "--jobs", "--cores", "--num-threads"),
    "--recipe": (
        "--lr",
        "--learning-rate",
        "--optimizer",
        "--momentum",
        "--weight-decay",
        "--wd",
        "--scheduler",
        "--label-smoothing",
    ),
    "--flip": ("--mirror", "--hflip", "--no-flip", "--augment"),
    "--resume": ("--continue", "--restart"),
    "--force": ("--overwrite", "--exist-ok", "--replace", "--yes"),
    "--max-latency": ("--latency", "--max-time", "--ms", "--time"),
    "--max-size": ("--size", "--max-file-size", "--max-bytes", "--file-size", "--model-size"),
    "--max-memory": ("--memory", "--ram", "--max-ram", "--arena"),
    "--max-macs": ("--macs", "--flops", "--max-flops", "--max-params"),
    "--min-accuracy": ("--accuracy", "--top1", "--min-top1"),
    "--int8": ("--quantize", "--quantized", "--quant"),
    "--precision": ("--dtype", "--bits", "--fp32", "--half", "--int8"),
    "--seed": ("--random-state", "--random-seed", "--manual-seed"),
    "--dry-run": ("--check", "--preview"),
    "--exclude": ("--ignore", "--skip"),
    "--quiet": ("--silent", "--no-progress"),
    "--calibration": ("--representative", "--calib", "--calibrate", "--calibration-data"),
    "--data": ("--images", "--dataset", "--val", "--validate"),
    "--images": ("--pictures", "--photos", "--data", "--samples"),
    "--cross-validate": ("--folds", "--kfold", "--k-fold", "--cv"),
    "--to": ("--format", "--target", "--type"),
    "--top": ("--topk", "--top-k", "--k", "-k"),
    "--split": ("--subset", "--part", "--parts"),
    "--labels": ("--classes", "--names", "--class-names"),
    "--json": ("--format", "--as-json", "--output-format"),
}
"""An option → names that other programs have for what it says."""
NOTES = {
    "--models": "it takes names of architectures, published weights such as keras:0.25-224 and Model files alike",
    "--recipe": "the recipe sets the learning rate and the optimizer; from Python, Settings takes a Recipe of your own",
}
"""What is to be added where an option says more than was asked."""


_DATA = "what to read is named without an option, as in: {command}"
EXPLANATIONS = {
    **dict.fromkeys(
        (
            "--dataset",
            "--data",
            "--data-dir",
            "--data-path",
            "--train-dir",
            "--train",
            "--folder",
            "--input",
            "--source",
        ),
        _DATA,
    ),
    **dict.fromkeys(
        ("--model", "--checkpoint", "--weights", "--ckpt", "--image", "--images", "--img", "--file"), _DATA
    ),
    **dict.fromkeys(("--classes", "--num-classes", "--nc", "--nb-classes"), "classes are found in the images"),
    **dict.fromkeys(
        ("--device", "--gpu", "--cuda", "--gpus"), "it runs on the processor; threads are all that is chosen"
    ),
    **dict.fromkeys(
        ("--patience", "--early-stopping", "--save-best"), "the best of all epochs is kept, by the validation images"
    ),
    **dict.fromkeys(
        ("--val-split", "--test-size", "--validation-split", "--val", "--split", "--train-split"),
        "a tenth each is drawn for validation and test, unless folders or a table say which they are",
    ),
    **dict.fromkeys(
        ("--force", "--overwrite", "--replace", "--exist-ok", "-f", "-y", "--yes"),
        "a file of the output's name is replaced without it",
    ),
    **dict.fromkeys(("--verbose", "-v", "--debug"), "all that is known is printed; -q prints less"),
    **dict.fromkeys(("--conf", "--confidence"), "predict --threshold P answers unknown below a probability"),
}
"""Names that other programs have for what is no option of a command here → what to do instead."""


def suggestion(word: str, options: Sequence[str], usage: str) -> str:
    """What to write in place of a word that is no option of a command; empty where nothing is known.

    Args:
        word: What was written, such as ``--batch``.
        options: Those of the command.
        usage: How the command is written.

    >>> suggestion("--batch", ["--batch-size", "--seed"], ""), suggestion("--sed", ["--batch-size", "--seed"], "")
    ('Did you mean --batch-size?', 'Did you mean --seed?')
    >>> suggestion("--dataset", ["--seed"], "mobilenets fit [OPTIONS] DATA")
    'What to read is named without an option, as in: mobilenets fit DATA'
    """
    written = word.lower().replace("_", "-")
    meant = [option for option, names in MEANT.items() if written in names and option in options]
    meant = meant or [option for option in options if option == written]
    explained = EXPLANATIONS.get(written, "").format(command=usage.replace("[OPTIONS] ", ""))
    if explained and not meant:
        return explained[0].upper() + explained[1:]
    meant = meant or get_close_matches(written, options, 3, 0.7)
    notes = "".join(f" ({NOTES[option]})" for option in meant if option in NOTES)
    return f"Did you mean {' or '.join(meant)}?{notes}" if meant else ""
