"""Characters by internal id (that of a post-frame, not of the selection screen)."""

from __future__ import annotations

from awm_jax.errors import AwmError

CHARACTERS: dict[int, str] = {
    0: "MARIO",
    1: "FOX",
    2: "CPTFALCON",
    3: "DK",
    4: "KIRBY",
    5: "BOWSER",
    6: "LINK",
    7: "SHEIK",
    8: "NESS",
    9: "PEACH",
    10: "POPO",
    12: "PIKACHU",
    13: "SAMUS",
    14: "YOSHI",
    15: "JIGGLYPUFF",
    16: "MEWTWO",
    17: "LUIGI",
    18: "MARTH",
    19: "ZELDA",
    20: "YOUNGLINK",
    21: "DOC",
    22: "FALCO",
    23: "PICHU",
    24: "GAMEANDWATCH",
    25: "GANONDORF",
    26: "ROY",
}


def character_name(number: int) -> str:
    return CHARACTERS.get(number, f"CHAR_{number}")


def parse_character(text: str, count: int) -> int:
    """An id below `count`, or a name in any case.

    Raises:
      AwmError: lists the characters.
    """
    if text.isdecimal() and int(text) < count:
        return int(text)
    for number, name in CHARACTERS.items():
        if name.lower() == text.lower():
            return number
    known = ", ".join(f"{number} {name}" for number, name in CHARACTERS.items())
    raise AwmError(f"no character {text!r}; give one of: {known} (or any id below {count})")
