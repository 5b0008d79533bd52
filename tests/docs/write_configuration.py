"""Write ``docs/configuration.md``: ``python -m tests.docs.write_configuration``."""

from __future__ import annotations

from pathlib import Path

from tests.docs.configuration_page import page

if __name__ == "__main__":
    (Path(__file__).parents[2] / "docs/configuration.md").write_text(page(), encoding="utf-8")
