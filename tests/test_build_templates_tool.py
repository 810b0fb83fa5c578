"""tools/build_templates.py: what it writes is tested with the templates, here its mistakes."""

import json

import pytest


@pytest.fixture(scope="module")
def tool(load_tool):
    return load_tool("build_templates")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["out.png"], "out.png: is where the picture would go; name the JSON"),
        (["o.json", "--n-init", "0"], "argument --n-init: expected at least 1, got 0"),
        (["o.json", "--seed", "-1"], "--seed: expected 0 or more, got -1"),
        (["o.json", "--vis-threshold", "5"], "--vis-threshold: expected 0 to 2, got 5"),
        (["o.json", "--vis-threshold", "nan"], "--vis-threshold: expected 0 to 2, got nan"),
        (["o.json", "--k", "none"], "argument --k: expected at least 1, got none"),
        (["o.json", "--kay", "3"], "unrecognized arguments: --kay 3; --help lists the flags"),
        (["o.json"], "/nowhere.json: No such file or directory"),
    ],
)
def test_mistakes_end_with_one_line(tool, words, message):
    with pytest.raises(SystemExit, match=rf"^build_templates: [^\n]*{message}[^\n]*$"):
        tool.main(["/nowhere.json", *words])


@pytest.mark.parametrize(
    "change",
    [
        {"annotations": [5]},
        {"categories": [{"id": 1, "name": "a", "keypoints": ["a", "b", "c"], "skeleton": [5]}]},
        {"categories": [{"id": 1, "name": "a", "keypoints": [1, 2, 3], "skeleton": []}]},
    ],
)
def test_files_of_another_kind(tool, tmp_path, change):
    points = [1, 2, 2, 30, 10, 2, 12, 40, 2]
    row = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [0, 0, 50, 50], "keypoints": points}
    category = {"id": 1, "name": "a", "keypoints": ["a", "b", "c"], "skeleton": [[1, 2]]}
    file = tmp_path / "a.json"
    content = {"images": [], "annotations": [row], "categories": [category]}
    words = [str(file), str(tmp_path / "o.json"), "--k", "1"]
    file.write_text(json.dumps(content))
    tool.main(words)
    file.write_text(json.dumps(content | change))
    with pytest.raises(SystemExit, match=rf"^build_templates: {file}: [^\n]*$"):
        tool.main(words)
