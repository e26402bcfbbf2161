"""The table of docs/models.md, from what the scripts of this folder measured.

    python models_table.py DIR docs/models.md

Scripts collect rows (`Table`), print them, and write them to the folder that LATHE_TABLES names, one JSON file each. This replaces the text
between `<!-- NAME: begin -->` and `<!-- NAME: end -->` of the page by DIR/NAME.json as a Markdown table; a file without its marks is an error.
"""
import glob
import json
import os
import re
import sys

HEAD = ["checkpoint", "transformers float32", "source, float32 / float64", "GGUF, float32 / float64", "llama.cpp, our file",
        "llama.cpp, its converter's file"]


def number(x):
    return x if isinstance(x, str) else f"{x:.1e}"


def cells(name, figures):
    pair = lambda key: " / ".join(number(x) for x in figures[key]) if key in figures else "–"
    return [name, number(figures["reference"]), pair("source"), pair("GGUF"), number(figures.get("ours", "–")),
            number(figures.get("peer", "–"))]


class Table:
    """Rows of one script. Figures: reference, source, GGUF (pairs), ours, peer; numbers, or words where there is no number."""

    def __init__(self, name):
        self.name = name
        self.rows = []

    def row(self, name, figures):
        self.rows.append(cells(name, figures))
        print("table " + " | ".join(self.rows[-1]), flush=True)

    def finish(self):
        folder = os.environ.get("LATHE_TABLES")
        if folder:
            with open(os.path.join(folder, self.name + ".json"), "w") as f:
                json.dump(self.rows, f, indent=1)


def markdown(rows):
    escape = lambda c: c.replace("|", "\\|").replace("\n", " ")
    lines = ["| " + " | ".join(HEAD) + " |", "|" + "---|" * len(HEAD)]
    return "\n".join(lines + ["| " + " | ".join(map(escape, r)) + " |" for r in rows])


def main():
    folder, page = sys.argv[1:]
    with open(page, encoding="utf-8") as f:
        text = f.read()
    for path in sorted(glob.glob(os.path.join(folder, "*.json"))):
        name = os.path.basename(path)[:-len(".json")]
        begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
        pattern = re.compile(re.escape(begin) + ".*?" + re.escape(end), re.S)
        if not pattern.search(text):
            sys.exit(f"{page}: no {begin} ... {end}")
        with open(path) as f:
            rows = json.load(f)
        text = pattern.sub(lambda _: f"{begin}\n{markdown(rows)}\n{end}", text)
    with open(page, "w", encoding="utf-8") as f:
        f.write(text)


if __name__ == "__main__":
    main()
