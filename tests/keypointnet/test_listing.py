from __future__ import annotations

import pytest

from keypointnet.listing import listed


@pytest.mark.parametrize(
    ("items", "options", "text"),
    [
        ([], {}, ""),
        (["a"], {}, "a"),
        (["a", "b", "c"], {}, "a, b, c"),
        (["a", "b", "c", "d", "e"], {}, "a, b, c and 2 more"),
        ([1, 2, 3], {"most": 2}, "1, 2 and 1 more"),
        (["a", "b", "c"], {"most": 2, "separator": "; "}, "a; b; and 1 more"),
        (["a", "b"], {"most": 2, "separator": "; ", "total": 9}, "a; b; and 7 more"),
        (["a", "b"], {"most": 2, "total": 2}, "a, b"),
    ],
)
def test_listed(items: list[object], options: dict[str, object], text: str) -> None:
    assert listed(items, **options) == text
