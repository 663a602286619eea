"""The tables that compare.py prints, in Markdown, from the rows of its JSON files."""


def number(value, digits=1):
    return "-" if value is None else f"{value:.{digits}f}"


def ratio(theirs, ours):
    return number(None if theirs is None or ours is None else theirs / ours, 2)


def above(row):
    """MiB above weights, gradients and moments."""
    return None if row["peak_mib"] is None else row["peak_mib"] - row["learned_mib"]


def print_table(header, lines):
    """Names to the left, numbers to the right."""
    widths = [max(len(line[column]) for line in [header] + lines) for column in range(len(header))]
    rule = ["-" * widths[0]] + ["-" * (width - 1) + ":" for width in widths[1:]]
    for line in [header, rule] + lines:
        cells = [line[0].ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(line[1:], widths[1:])]
        print("| " + " | ".join(cells) + " |")


def step_line(ours, torch, half):
    time, peak = "milliseconds", "peak_mib"
    return [
        ours["network"],
        ours["extent"],
        number(ours[time]),
        number(torch[time]),
        ratio(torch[time], ours[time]),
        number(half[time]),
        ratio(half[time], ours[time]),
        number(ours[peak], 0),
        number(ours.get("planned_mib"), 0),
        number(torch[peak], 0),
        number(half[peak], 0),
        number(ours["learned_mib"], 0),
        number(above(ours), 0),
        number(above(torch), 0),
        ratio(above(torch), above(ours)),
    ]


def print_steps(rows, classes, threads):
    """Rows come in threes: ours, PyTorch in float32, PyTorch in bfloat16."""
    print(
        f"\nOne training step (one image of 1 channel, {classes} classes, {threads} threads), peak memory.\n"
        "x: PyTorch's in ours, more than 1 where ours is less. learned: weights, gradients, moments and averages;\n"
        "above: what the peak has on top of them. Ours is float32.\n"
    )
    time = ["ours, ms", "PyTorch", "x", "bfloat16", "x"]
    memory = ["ours, MiB", "planned", "PyTorch", "bfloat16", "learned", "ours above", "PyTorch above", "x"]
    lines = [step_line(*rows[first : first + 3]) for first in range(0, len(rows), 3)]
    print_table(["network", "extent"] + time + memory, lines)


def print_gpu_steps(rows, classes, precisions):
    """Of each case first ours in each precision, then PyTorch in each."""
    print(
        f"\nOne training step on the GPU (one image of 1 channel, {classes} classes), memory of the GPU. PyTorch: the\n"
        "fastest of its formats, compiled or not. x: PyTorch's in ours, more than 1 where ours is less. Of ours the\n"
        "memory has all that cuDNN loads in it, of PyTorch what its allocator holds.\n"
    )
    count = len(precisions)
    lines = []
    for first in range(0, len(rows), 2 * count):
        for ours, torch in zip(rows[first : first + count], rows[first + count : first + 2 * count]):
            lines.append(
                [ours["network"], ours["extent"], ours["precision"]]
                + [number(ours["milliseconds"], 2), number(torch["milliseconds"], 2)]
                + [ratio(torch["milliseconds"], ours["milliseconds"]), torch.get("format") or "-"]
                + [number(row, 0) for row in (ours["peak_mib"], ours.get("planned_mib"), torch["peak_mib"])]
            )
    time, memory = ["ours, ms", "PyTorch", "x", "format"], ["ours, MiB", "planned", "PyTorch"]
    print_table(["network", "extent", "precision"] + time + memory, lines)


def print_layers(rows, threads):
    """Rows come in pairs: ours, oneDNN's."""
    directions = ("forward", "backward data", "backward weights")
    print(
        f"\nConvolutions in float32, ms ({threads} threads). oneDNN: in the better of blocked and channels\n"
        "last, without the time to bring tensors there. x: oneDNN's in ours, more than 1 where ours is less.\n"
    )
    layers = {}
    for ours, onednn in zip(rows[::2], rows[1::2]):
        times = [row["milliseconds"] for row in (ours, onednn)]
        layers.setdefault(ours["network"], {})[ours["direction"]] = times
    lines = []
    for layer, times in layers.items():
        line = [layer]
        for direction in directions:
            ours, onednn = times.get(direction, (None, None))
            line += [number(ours, 3), number(onednn, 3), ratio(onednn, ours)]
        lines.append(line)
    print_table(["layer"] + [word for d in directions for word in (d, "oneDNN", "x")], lines)
    largest = max(rows[::2], key=lambda row: row["difference"])
    print(
        f"\nResults differ by at most {largest['difference']:.1e} of their size, root mean square"
        f" ({largest['direction']}, {largest['network']})."
    )
