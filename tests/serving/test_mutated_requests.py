"""Requests that are nearly right: each is answered or refused, for a reason that is documented, and nothing is left."""

from __future__ import annotations

import gc
import os
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from tests.support.mutated_requests import Request, mutated_requests, right_requests
from tests.support.server import ask, photo, post_image

from mobilenets.serving.limits import Limits
from mobilenets.serving.refusals import Reason
from mobilenets.serving.server import ServerOptions, serving

COUNT = int(os.environ.get("MOBILENETS_MUTATED_REQUESTS", "300"))
CODES = {reason.value for reason in Reason} - {Reason.INTERNAL_ERROR.value}


def statuses(address: str, requests: Iterable[Request]) -> Counter[int]:
    """How often each status came; every refusal is one that is documented."""
    found: Counter[int] = Counter()
    for request in requests:
        answer = ask(address, "POST", request.path, request.body, request.headers)
        found[answer.status] += 1
        if answer.status == 200:
            continue
        assert answer.status == 503 or answer.status < 500, (request, answer)
        said = answer.json
        if "predictions" in said:
            assert all(one["error"]["code"] in CODES for one in said["predictions"])
        else:
            code = said.get("code") or said["error"]["code"]
            assert code in CODES, (request, answer)
            assert Reason(code).status == answer.status
    return found


def test_requests_that_are_right_are_answered(address: str) -> None:
    assert set(statuses(address, right_requests("hands"))) == {200}


def test_requests_with_something_wrong(model_file: Path) -> None:
    with serving([model_file], ServerOptions(port=0, limits=Limits(pixels=1_000_000))) as address:
        statuses(address, mutated_requests("hands", 50, seed=1))
        gc.collect()
        before = len(os.listdir("/proc/self/fd"))
        found = statuses(address, mutated_requests("hands", COUNT, seed=0))
        assert len(found) >= 4, found
        assert post_image(address, photo()).status == 200
        gc.collect()
        assert len(os.listdir("/proc/self/fd")) <= before + 2
        assert "mobilenets_queue_images 0.0" in ask(address, "GET", "/metrics").body.decode()
