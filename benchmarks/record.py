"""What is kept of the last full run: results/*.json, and the tables and plots made from them.

    .venv/bin/python -m benchmarks.record     writes the tables in README.md and the plots anew

README.md holds them between `<!-- figures: NAME -->` and `<!-- end -->`: NAME is a work,
`summary` or `machine`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from benchmarks import plot, report
from benchmarks.works import WORKS, Work

HERE: Final = Path(__file__).parent
RESULTS: Final = HERE / "results"
README: Final = HERE / "README.md"
BLOCK: Final = re.compile(r"(<!-- figures: ([\w-]+) -->\n).*?(<!-- end -->)", re.S)
MISSING: Final = "Not measured yet.\n"
GROWTH: Final = "grow-members"

Results = Mapping[str, Mapping[str, Any]]
"""Work -> what `save` wrote of it."""


def save(folder: Path, name: str, content: Mapping[str, Any]) -> None:
    """Keep a work's results."""
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(_rounded(content), indent=1, ensure_ascii=False)
    (folder / f"{name}.json").write_text(text + "\n", encoding="utf-8")


def _rounded(value: Any) -> Any:
    """With the digits that a measurement has, so that the files can be read."""
    if isinstance(value, float):
        return float(f"{value:.4g}")
    if isinstance(value, Mapping):
        return {key: _rounded(inner) for key, inner in value.items()}
    return [_rounded(inner) for inner in value] if isinstance(value, list) else value


def load(folder: Path = RESULTS) -> Results:
    """All that was kept, of works that there still are."""
    paths = ((name, folder / f"{name}.json") for name in WORKS)
    return {name: json.loads(path.read_text("utf-8")) for name, path in paths if path.is_file()}


def render(text: str, results: Results) -> str:
    """The README with the current figures; raises ValueError for a block of no work."""

    def block(match: re.Match[str]) -> str:
        return f"{match[1]}{_block(match[2], results)}{match[3]}"

    return BLOCK.sub(block, text)


def _block(name: str, results: Results) -> str:
    if name == "summary":
        return _summary(results) if results else MISSING
    if name == "machine":
        return _machines(results) if results else MISSING
    if name not in WORKS:
        raise ValueError(f"README.md asks for the figures of {name}, which is no work")
    if name not in results:
        return MISSING
    return report.table(results[name]["results"], WORKS[name].figures) + "\n"


def _headlines(results: Results) -> Iterator[tuple[str, Work, Mapping[str, Any]]]:
    for name, content in results.items():
        if WORKS[name].headline:
            for case, servers in content["results"].items():
                yield f"{name}, {case}" if case else name, WORKS[name], servers


def _summary(results: Results) -> str:
    rows = [["work", "figure", *report.NAMES.values(), "sioserver x Node", "bare x Node", "target"]]
    for title, work, servers in _headlines(results):
        main, figure = next(iter(work.figures.items()))
        cells = [
            report.median(servers.get(server, {}).get(main), figure.digits)
            for server in report.NAMES
        ]
        shown = [
            report.spread(servers.get(server, {}).get("ratio"), 2)
            for server in ("sioserver", "bare")
        ]
        target = f"{work.target:.2f}" if work.target else "-"
        rows.append([title, figure.title, *cells, *shown, target])
    return report.lines(rows) + "\n"


def _machines(results: Results) -> str:
    """Where and how it was measured; one line, unless the works were measured differently."""
    found = {
        "{cpu}, {cores} cores, Linux {kernel}, Python {python}; {runs} rounds of {seconds:g} s "
        "after {warmup:g} s of warm-up\n".format(**content["machine"], **content["settings"])
        for content in results.values()
    }
    return "".join(sorted(found))


def plots(results: Results) -> dict[str, str]:
    """File name -> SVG, of what has been measured."""
    names = [*report.NAMES.values()]
    rows = [
        plot.Row(title, {report.NAMES[name]: dot for name, dot in _dots(servers)}, work.target)
        for title, work, servers in _headlines(results)
    ]
    drawn = (
        {"ratios.svg": plot.ratios(rows, names, "Ratio to Node socket.io, logarithmic")}
        if rows
        else {}
    )
    if GROWTH in results:
        main = next(iter(WORKS[GROWTH].figures))
        lines: dict[str, dict[float, float]] = {}
        for case, servers in results[GROWTH]["results"].items():
            for name, row in servers.items():
                line = lines.setdefault(report.NAMES[name], {})
                line[float(case.split()[0])] = row[main]["median"]
        title = "CPU µs of the server for a delivery"
        drawn["growth.svg"] = plot.growth(lines, names, title, "members of the room")
    return drawn


def _dots(servers: Mapping[str, Any]) -> Iterator[tuple[str, plot.Dot]]:
    for name in report.NAMES:
        if ratio := servers.get(name, {}).get("ratio"):
            yield name, plot.Dot(ratio["min"], ratio["median"], ratio["max"])


def write() -> None:
    """Make README.md and the plots show what is in results/."""
    results = load()
    README.write_text(render(README.read_text("utf-8"), results), encoding="utf-8")
    for name, drawing in plots(results).items():
        (RESULTS / name).write_text(drawing, encoding="utf-8")


if __name__ == "__main__":
    write()
