"""HTML from templates: whatever is put into one is made visible and escaped here, by construction.

What is asked for on a page stands in `pages/*.html`; there is no script anywhere.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Final

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from starlette.responses import HTMLResponse, Response

from server.console.site import Site
from tools.escaping import visible

HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'; "
        "frame-ancestors 'none'"
    ),
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    # No page that opened this one can change what is under the next click.
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
"""Forms lead to this origin only, redirects after them too: browsers differ about those."""

_WITH_FORMS: Final = HEADERS | {"Referrer-Policy": "same-origin"}
"""Other sites learn no address here, and with `no-referrer` a form's `Origin` would be `null`."""

_STYLE: Final = "style.css"


@dataclass(frozen=True, slots=True)
class Pages:
    """The templates of one site."""

    site: Site
    templates: Environment
    style: bytes

    @classmethod
    def of(cls, site: Site) -> Pages:
        style = files("server.console").joinpath("pages", _STYLE).read_bytes()
        templates = Environment(
            loader=PackageLoader("server.console", "pages"),
            autoescape=True,
            undefined=StrictUndefined,
            finalize=_made_visible,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        version = hashlib.sha256(style).hexdigest()[:12]
        templates.globals["approvals"] = site.approvals
        templates.globals["style"] = f"{site.approvals}/{_STYLE}?v={version}"
        return cls(site, templates, style)

    def page(self, name: str, content: Mapping[str, object], *, status: int = 200) -> Response:
        """One page; with forms where somebody is signed in. What it shows may come from anybody."""
        text = self.templates.get_template(f"{name}.html").render(content)
        headers = _WITH_FORMS if content["session"] is not None else HEADERS
        return HTMLResponse(text, status_code=status, headers=headers)

    def style_sheet(self) -> Response:
        headers = HEADERS | {"Cache-Control": "public, max-age=86400"}
        return Response(self.style, media_type="text/css", headers=headers)


def _made_visible(value: object) -> object:
    """Everything that a template puts out passes here before it is escaped."""
    return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value
