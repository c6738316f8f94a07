"""mkdocs hook: adds the repository's other documents to the site, and adapts links to them."""

import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

PAGES = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "decoders/weights/tiny.md": "weights/tiny.md",
    "decoders/weights/smollm2-135m-draft.md": "weights/smollm2-135m-draft.md",
}
"""Document in the repository -> page of the site; links are relative in both."""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the documents as pages."""
    root = Path(config.docs_dir).parent
    for document, page in PAGES.items():
        text = (root / document).read_text(encoding="utf-8")
        files.append(File.generated(config, page, content=text))
    return files


def on_page_markdown(markdown: str, **_: object) -> str:
    """Point links at pages of the site; a link to a source file becomes its text."""
    for document, page in PAGES.items():
        markdown = re.sub(rf"\]\((?:\.\./)?{re.escape(document)}", f"]({page}", markdown)
    markdown = markdown.replace("](docs/", "](")
    return re.sub(r"\[([^]]+)\]\(\.\./(?:examples|training)/[^)]*\)", r"\1", markdown)
