"""A QR code made of half blocks, for a terminal."""


def qr_text(content: str) -> str:
    """`content` as a QR code, two rows of modules per line of text, dark on light whatever the terminal's colours."""
    import segno

    rows = [bytes(row) for row in segno.make(content, error="m", micro=False).matrix_iter(border=2)]
    if len(rows) % 2:
        rows.append(bytes(len(rows[0])))
    lines = [
        "".join(_HALVES[upper, lower] for upper, lower in zip(top, bottom, strict=True))
        for top, bottom in zip(rows[::2], rows[1::2], strict=True)
    ]
    return "\n".join(f"\x1b[30;107m{line}\x1b[0m" for line in lines)


_HALVES = {(0, 0): " ", (1, 0): "▀", (0, 1): "▄", (1, 1): "█"}
