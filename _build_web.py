"""setuptools' build_py, which first sees to it that the wheel holds the web page.

The page is built by npm from web/ into sioserver/_web. The rules, in this order:
  - an editable install never builds it: `make web` does, and the server says so when it is missing;
  - a page that is newer than its sources is taken as it is (also the case in an unpacked sdist);
  - SIOSERVER_SKIP_WEB=1 makes a wheel without a page, for who brings their own;
  - otherwise npm builds it, and a wheel that would ship without a page is an error.
"""

import os
import shutil
import subprocess
from pathlib import Path

from setuptools.command.build_py import build_py
from setuptools.errors import ExecError

ROOT = Path(__file__).resolve().parent
WEB = ROOT / "web"
PAGE = ROOT / "sioserver" / "_web" / "index.html"


class BuildPyWithWeb(build_py):
    """build_py with the page built before the package's files are listed."""

    def run(self) -> None:
        # data_files was listed before this method could build the page: forget that list.
        if not self.editable_mode and self._make_page():
            self.__dict__.pop("data_files", None)
        super().run()

    def _make_page(self) -> bool:
        if is_fresh() or os.environ.get("SIOSERVER_SKIP_WEB") == "1":
            return False
        npm = shutil.which("npm")
        if npm is None or not (WEB / "package.json").is_file():
            missing = "npm is not on PATH" if npm is None else "the folder web/ is not here"
            raise ExecError(
                f"the wheel would ship without its web page and {missing}: "
                "run `make web` first, or set SIOSERVER_SKIP_WEB=1 to do without the page"
            )
        for words in (["ci"], ["run", "build"]):
            subprocess.run([npm, *words], cwd=WEB, check=True)
        if not PAGE.is_file():
            raise ExecError(f"`npm run build` in web/ did not make {PAGE.relative_to(ROOT)}")
        return True


def is_fresh() -> bool:
    """True if the page exists and none of its sources is newer."""
    if not PAGE.is_file():
        return False
    built = PAGE.stat().st_mtime
    patterns = ("src/**/*", "public/**/*", "*.html", "*.ts", "*.json")
    sources = (path for pattern in patterns for path in WEB.glob(pattern) if path.is_file())
    return all(source.stat().st_mtime <= built for source in sources)
