"""Our own icons, drawn on a grid of 24 by lines of the text's colour; they stand in the page, so nothing is fetched."""

from __future__ import annotations

from typing import Final

_SHAPES: Final = {
    "back": '<path d="M15 5l-7 7 7 7"/>',
    "zoom-in": '<path d="M12 5v14M5 12h14"/>',
    "zoom-out": '<path d="M5 12h14"/>',
    "home": '<path d="M4 9V4h5M20 9V4h-5M4 15v5h5M20 15v5h-5"/><rect x="9" y="9" width="6" height="6" rx="1"/>',
    "turn-left": '<path d="M4 4v5h5"/><path d="M4.6 14a8 8 0 1 0 1.5-7.4L4 9"/>',
    "turn-right": '<path d="M20 4v5h-5"/><path d="M19.4 14a8 8 0 1 1-1.5-7.4L20 9"/>',
    "full-screen": '<path d="M4 9V4h5M15 4h5v5M20 15v5h-5M9 20H4v-5"/>',
    "adjust": '<path d="M4 8h8M18 8h2M4 16h2M12 16h8"/>'
    '<circle cx="15" cy="8" r="2.5"/><circle cx="9" cy="16" r="2.5"/>',
    "beside": '<rect x="3.5" y="5" width="7" height="14" rx="1.5"/>'
    '<rect x="13.5" y="5" width="7" height="14" rx="1.5"/>',
    "link": '<path d="M10 14a4 4 0 0 0 5.7 0l3-3A4 4 0 0 0 13 5.3l-1 1"/>'
    '<path d="M14 10a4 4 0 0 0-5.7 0l-3 3A4 4 0 0 0 11 18.7l1-1"/>',
    "save": '<path d="M12 4v11M7 11l5 5 5-5M5 20h14"/>',
    "upload": '<path d="M12 16V5M7 9l5-5 5 5M5 20h14"/>',
    "folder": '<path d="M3.5 18.5v-12a1 1 0 0 1 1-1h4.6l2 2.5h8.4a1 1 0 0 1 1 1v10.5h-17z"/>',
    "help": '<circle cx="12" cy="12" r="8.5"/><path d="M9.5 9.5a2.5 2.5 0 1 1 3.5 2.3c-.7.3-1 .8-1 1.7M12 16.8v.1"/>',
    "details": '<circle cx="12" cy="12" r="8.5"/><path d="M12 11v5.5M12 7.6v.1"/>',
    "together": '<rect x="5" y="11" width="14" height="9" rx="2"/><path d="M8 11V8a4 4 0 0 1 8 0v3"/>',
    "close": '<path d="M6 6l12 12M18 6L6 18"/>',
    "search": '<circle cx="11" cy="11" r="6"/><path d="M15.5 15.5L20 20"/>',
}


def icon(name: str) -> str:
    """The markup of an icon. Screen readers skip it: what holds it says what it means."""
    return f'<svg class="icon" viewBox="0 0 24 24" aria-hidden="true" focusable="false">{_SHAPES[name]}</svg>'
