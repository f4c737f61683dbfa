"""Records are frozen dataclasses to everybody who asks, only made in less time."""

from __future__ import annotations

import ast
import copy
import dataclasses
import inspect
import pickle
import subprocess
import sys
from dataclasses import FrozenInstanceError, field
from typing import Any, ClassVar

import pytest
from tests.conftest import ROOT

from mobilenets.base.records import record


@record(frozen=True)
class Base:
    """Two fields."""

    name: str
    size: int = 1


@record(frozen=True)
class Derived(Base):
    """Two more, and a check."""

    tags: tuple[str, ...] = ()
    facts: dict[str, int] = field(default_factory=dict)
    kind: ClassVar[str] = "derived"

    def __post_init__(self) -> None:
        if self.size < 0:
            raise ValueError("size")


@record(frozen=True, eq=False)
class Unequal:
    """Equal to nothing but itself."""

    value: int


def test_a_record_says_the_same_of_itself_as_a_dataclass() -> None:
    @dataclasses.dataclass(frozen=True)
    class Plain:
        name: str
        size: int = 1

    plain, made = Plain("a"), Base("a")
    assert repr(made) == "Base(name='a', size=1)"
    assert dataclasses.asdict(made) == dataclasses.asdict(plain)
    assert [f.name for f in dataclasses.fields(made)] == [f.name for f in dataclasses.fields(plain)]
    assert dataclasses.is_dataclass(made)
    assert vars(Base(size=2, name="b")) == {"name": "b", "size": 2}
    assert list(vars(Base(size=2, name="b"))) == ["name", "size"]


def test_records_are_equal_by_class_and_fields() -> None:
    assert Base("a", 2) == Base("a", size=2)
    assert hash(Base("a", 2)) == hash(Base("a", 2))
    assert Base("a") != Base("b")
    assert Base("a") != Derived("a")
    assert Unequal(1) != Unequal(1)
    assert len({Unequal(1), Unequal(1)}) == 2


def test_a_derived_record_has_the_fields_of_its_base_and_its_own_check() -> None:
    made = Derived("a", tags=("x",))
    assert dataclasses.replace(made, size=3) == Derived("a", 3, ("x",))
    assert made.facts == {}
    assert made.facts is not Derived("a").facts
    with pytest.raises(ValueError, match="size"):
        dataclasses.replace(made, size=-1)


def test_a_record_cannot_be_changed() -> None:
    made: Any = Base("a")
    with pytest.raises(FrozenInstanceError, match="'size' of a Base is fixed"):
        made.size = 2
    with pytest.raises(FrozenInstanceError, match="'size' of a Base is fixed"):
        del made.size


@pytest.mark.parametrize(
    ("values", "named", "message"),
    [
        ((), {}, "needs 'name'"),
        (("a", 1, 2), {}, "takes 2 values; 3 were given"),
        (("a",), {"name": "b"}, "was given 'name' twice"),
        (("a",), {"colour": 1}, "has no field 'colour'"),
    ],
)
def test_wrong_values_are_refused(values: tuple[Any, ...], named: dict[str, Any], message: str) -> None:
    with pytest.raises(TypeError, match=message):
        Base(*values, **named)


def test_records_are_copied_and_pickled() -> None:
    made = Derived("a", facts={"x": 1})
    assert copy.deepcopy(made) == made
    assert pickle.loads(pickle.dumps(Base("a", 4))) == Base("a", 4)
    assert inspect.isclass(type(made))


LOADED_TO_PREDICT = """
import sys
import mobilenets.cli.predict
print(*(name for name in sys.modules if name.startswith("mobilenets.")), sep="\\n")
"""


def test_records_are_used_where_a_prediction_needs_them_and_nowhere_else() -> None:
    done = subprocess.run([sys.executable, "-c", LOADED_TO_PREDICT], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    for path in (ROOT / "src" / "mobilenets").rglob("*.py"):
        name = ".".join(path.relative_to(ROOT / "src").with_suffix("").parts)
        decorators = {
            ast.unparse(decorator).split("(")[0]
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
            if isinstance(node, ast.ClassDef)
            for decorator in node.decorator_list
        }
        if name in loaded:
            assert "dataclass" not in decorators, f"{name} is loaded by every prediction: use @record"
        else:
            assert "record" not in decorators, f"{name} is not loaded by a prediction: use @dataclass"
