"""Tags that AUTOMATIC1111's web UI reads in prompts: <lora:name:0.8>, <lyco:name>, <hypernet:name:1>.

There they add an adapter and are no part of the text. Adapters are not available here, but a prompt that was copied
from there must not have their names as words. A backslash before the bracket keeps a tag as text.
"""

import re
from collections.abc import Sequence

_TAG = re.compile(r"(?<!\\)<\s*+(?:lora|lyco|hypernet)\s*+:[^<>]*+>", re.IGNORECASE)
_MOST_QUOTED = 3
_LONGEST_QUOTED = 60


def without_tags(text: str) -> tuple[str, list[str]]:
    """`text` without its tags and the blanks that they leave at its ends, and the tags in order; text without tags
    stays as it is. The time is linear in the text's length."""
    tags = _TAG.findall(text)
    return (_TAG.sub("", text).strip() if tags else text), tags


def is_empty(text: str) -> bool:
    """Whether a prompt has nothing but blanks and tags, so that no words of it are encoded."""
    return not without_tags(text)[0].strip()


def note(field: str, tags: Sequence[str]) -> str:
    """The note for `tags` that were found in `field`, of which a few are quoted."""
    quoted = [
        tag if len(tag) <= _LONGEST_QUOTED else f"{tag[: _LONGEST_QUOTED - 4]}...>" for tag in tags[:_MOST_QUOTED]
    ]
    more = f" and {len(tags) - _MOST_QUOTED} more" if len(tags) > _MOST_QUOTED else ""
    return f"{field} has {', '.join(quoted)}{more}, not read as words and not applied: adapters are not available"
