"""What the site has otherwise than the same pages in the repository."""

import re
from typing import Any

OUTSIDE = re.compile(r"(?<!!)\[([^]]+)\]\(\.\./([^)#]+)[^)]*\)")


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Name the files outside docs/ that the site does not have, in place of links to them."""
    return OUTSIDE.sub(r"\1 (`\2`)", markdown)
