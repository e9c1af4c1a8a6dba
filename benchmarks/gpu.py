"""RICS on a GPU: equality with the CPU, no waiting for the host, images per second, share of a ViT.

Images are uint8 tiles of photographs that are already on the device, 224 to 140 px. Without CUDA
the script says so and ends; `--device cpu --backend eager --batches 4` then runs all of it except
the check for waiting, which says nothing about speed. Prints Markdown.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable, Sequence

import torch
from scenes import tiles
from speed import scores
from tables import Target, heading, print_head, print_row, print_targets
from timing import figures, machine, milliseconds, spread
from torch import Tensor
from torchvision.models import vit_b_16

from rics_transforms import RICSCrop, Score
from rics_transforms.samples import Shifts

N, K = 224, 140
BATCHES = (64, 256, 1024, 4096)
DISTINCT = 64  # photographs; larger batches repeat them
RATE, MOONSHOT, SHARE = 500_000, 2_000_000, 1  # images per second; percent of the ViT
SHIFTS: tuple[Shifts, ...] = ("realistic", "cyclic")

Crop = Callable[[Tensor], Tensor]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cuda", help="another one is for a dry run")
    parser.add_argument("--backend", default="inductor", help="of torch.compile")
    parser.add_argument("--batches", type=int, nargs="+", default=BATCHES, help="sizes")
    parser.add_argument("--rounds", type=int, default=10, help="of measuring")
    parser.add_argument(
        "--scores", nargs="+", default=list(scores()), help="the default among them"
    )
    options = parser.parse_args()
    device = torch.device(options.device)
    if device.type == "cuda" and not torch.cuda.is_available():
        print("Left out: needs a CUDA device.")
        return
    print(f"{machine()}; {_name(device)}")
    chosen = {name: score for name, score in scores().items() if name in options.scores}
    print_equality(device, options.backend, min(options.batches), chosen)
    print_waiting(device, chosen)
    images = tiles(N, min(DISTINCT, max(options.batches))).to(device)
    rates = print_rates(images, options.backend, options.batches, options.rounds, chosen)
    share = print_share(device, options.backend, min(256, max(options.batches)), options.rounds)
    print_targets(targets(rates, share))


def _name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "dry run on the CPU"


def compile(crop: RICSCrop, backend: str) -> Crop:
    """One graph for any batch; those of other scores are dropped, since there is a limit."""
    torch.compiler.reset()
    return torch.compile(crop, fullgraph=True, dynamic=True, backend=backend)


# --- the same crops ------------------------------------------------------------------------------


def print_equality(
    device: torch.device, backend: str, batch: int, chosen: dict[str, Score]
) -> None:
    """Origins and pixels against eager mode on the CPU; ends the script if one differs."""
    heading(f"Equal to the CPU, bit for bit: origins and crops, n = {N}, k = {K}")
    images = torch.cat([tiles(N, batch), degenerate()])
    print_head("score", *(f"{shifts}, {way}" for shifts in SHIFTS for way in ("eager", "compiled")))
    for name, score in chosen.items():
        cells = []
        for shifts in SHIFTS:
            crop = RICSCrop(K, score=score, shifts=shifts)
            origins, crops = crop.locate(images), crop(images)
            there = images.to(device)
            same = torch.equal(crop.locate(there).cpu(), origins)
            for way, run in (("eager", crop), ("compiled", compile(crop, backend))):
                if not (same and torch.equal(run(there).cpu(), crops)):
                    raise SystemExit(f"Expected equal crops, but {name}, {shifts}, {way} differs.")
                cells.append(f"{len(images)} of {len(images)}")
        print_row(name, *cells)


def degenerate() -> Tensor:
    """Images on which many crops are equal, and noise: uint8 [6, 3, N, N]."""
    y, x = torch.meshgrid(torch.arange(N), torch.arange(N), indexing="ij")
    noise = torch.randint(256, (N, N), generator=torch.Generator().manual_seed(0))
    fields = (0 * x, 255 + 0 * x, 255 * ((x + y) % 2), 37 * (x % 7), y, noise)
    return torch.stack(fields).to(torch.uint8)[:, None].repeat(1, 3, 1, 1)


def print_waiting(device: torch.device, chosen: dict[str, Score]) -> None:
    """Whether the host has to wait for the device within the transform."""
    heading("The host waits for the device")
    if device.type != "cuda":
        print("Left out: there is no device to wait for.")
        return
    images = tiles(N, 8).to(device)
    print_head("score", *SHIFTS, words=3)
    for name, score in chosen.items():
        cells = []
        for shifts in SHIFTS:
            crop = RICSCrop(K, score=score, shifts=shifts)
            crop(images)  # the first call sends tables to the device
            torch.cuda.set_sync_debug_mode("error")
            try:
                crop(images)
                cells.append("never")
            except RuntimeError as error:
                cells.append(f"**yes**: {str(error).splitlines()[0]}")
            finally:
                torch.cuda.set_sync_debug_mode("default")
        print_row(name, *cells)


# --- speed ---------------------------------------------------------------------------------------


def seconds(run: Callable[[], object], device: torch.device, rounds: int) -> list[float]:
    """Time of a call: on a GPU, a tenth of that of ten queued calls."""
    calls = 10 if device.type == "cuda" else 1

    def queue(_: int) -> None:
        for _ in range(calls):
            run()
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    return [t / calls / 1000 for t in milliseconds(queue, rounds)]


def print_rates(
    images: Tensor,
    backend: str,
    batches: Sequence[int],
    rounds: int,
    chosen: dict[str, Score],
) -> dict[str, float]:
    """Thousands of images per second; returns the best rate of every score."""
    heading(f"Thousands of images per second, n = {N}, k = {K}, uint8 on the device")
    print_head("batch", *map(str, batches))
    held = {b: images.repeat(-(-b // len(images)), 1, 1, 1)[:b] for b in batches}
    best: dict[str, float] = {}
    for name, score in chosen.items():
        crop = RICSCrop(K, score=score)
        for way, run in ((name, crop), (f"{name}, compiled", compile(crop, backend))):
            rates = []
            for batch in batches:
                taken = seconds(lambda r=run, x=held[batch]: r(x), images.device, rounds)
                rates.append([batch / t / 1000 for t in taken])
            print_row(way, *map(spread, rates))
            best[name] = max(best.get(name, 0), *(1000 * statistics.median(r) for r in rates))
    floor = _floor(held[max(batches)], rounds)
    print_row("floor: images read once, crops written once", *[figures(floor)] * len(batches))
    return best


def _floor(images: Tensor, rounds: int) -> float:
    """Thousands of images per second at the bandwidth of a copy of the largest batch."""
    target = torch.empty_like(images)
    taken = statistics.median(seconds(lambda: target.copy_(images), images.device, rounds))
    speed = 2 * images.nbytes / taken
    return speed / (3 * (N * N + K * K)) / 1000


@torch.inference_mode()
def print_share(device: torch.device, backend: str, batch: int, rounds: int) -> float:
    """Time of the crop from 256 to 224 px against that of a ViT on it, in percent."""
    n, k = 256, 224
    crop = RICSCrop(k)
    seen = tiles(n, min(DISTINCT, batch)).repeat(-(-batch // DISTINCT), 1, 1, 1)[:batch].to(device)
    torch.manual_seed(0)
    model = vit_b_16().eval().to(device, torch.bfloat16)
    inputs = crop(seen).to(torch.bfloat16) / 255
    forward = seconds(lambda: model(inputs), device, rounds)
    heading(f"Share of a ViT-B/16 forward in bfloat16, n = {n}, k = {k}, batch of {batch}")
    print_head("", "ms per batch", "share")
    print_row("ViT-B/16, random weights", spread([1000 * t for t in forward]), "100 %")
    shares = []
    for way, run in (
        ("`RICSCrop(224)`", crop),
        ("`RICSCrop(224)`, compiled", compile(crop, backend)),
    ):
        taken = seconds(lambda r=run: r(seen), device, rounds)
        shares.append(100 * statistics.median(taken) / statistics.median(forward))
        print_row(way, spread([1000 * t for t in taken]), f"{shares[-1]:.2f} %")
    return min(shares)


def targets(rates: dict[str, float], share: float) -> list[Target]:
    """For the default score: the best of all batches, eager or compiled."""
    rows: list[Target] = []
    for name, least in (("target", RATE), ("moonshot", MOONSHOT)):
        wanted = f"at least {least // 1000} thousand images per second"
        measured = f"{figures(rates['lattice'] / 1000)} thousand"
        title = f"default, {N} to {K} px, {name}"
        rows.append(Target(title, wanted, measured, rates["lattice"] >= least))
    title = "default, share of a ViT-B/16 forward"
    return [*rows, Target(title, f"below {SHARE} %", f"{share:.2f} %", share < SHARE)]


if __name__ == "__main__":
    main()
