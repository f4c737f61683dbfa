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
    "--recipe": "the recipe sets the learning rate and the optimizer; from Python, Settings takes a Recipe of your own",
}
"""What is to be added where an option says more than was asked."""


def meant_options(word: str, options: Sequence[str]) -> list[str]:
    """Options that may be meant by a word that is none, likeliest first.

    Args:
        word: What was written, such as ``--batch``.
        options: Those of the command.

    >>> meant_options("--batch", ["--batch-size", "--seed"]), meant_options("--sed", ["--batch-size", "--seed"])
    (['--batch-size'], ['--seed'])
    """
    written = word.lower().replace("_", "-")
    meant = [option for option, names in MEANT.items() if written in names and option in options]
    return meant or ([written] if written in options else get_close_matches(written, options, 3, 0.7))
