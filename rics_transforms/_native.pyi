def constants(row: int, column: int, mix: int) -> None: ...
def run(
    plan: bytes,
    filters: bytes,
    pixels: int,
    image_stride: int,
    count: int,
    maps: int,
    best: int,
) -> None: ...
