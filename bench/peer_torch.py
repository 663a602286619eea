"""Training steps of a network in PyTorch: the same work as bench/step.c, and the same JSON object.

Usage: peer_torch.py ARCH DxHxW CLASSES THREADS STEPS SECONDS PRECISION FORMAT
PRECISION is float32 or bfloat16 (autocast), FORMAT contiguous or channels_last_3d.
Exit code 9: not enough memory.
"""
import ctypes
import json
import sys
import time
import warnings

warnings.filterwarnings("ignore", message="Failed to initialize NumPy")  # it is not needed
import torch

import peer_networks

OUT_OF_MEMORY = 9
MEMORY_ERRORS = ("allocate memory", "could not create a", "could not execute a")  # oneDNN does not say why
MOST_STEPS = 100


def pattern(count):
    """bench/pattern.h: numbers from -1/2 to 1/2 that look random, the same in every run and language."""
    h = torch.arange(count, dtype=torch.int64) * 2654435761 & 0xFFFFFFFF
    h = (h ^ h >> 16) * 1540483477 & 0xFFFFFFFF
    return (h ^ h >> 15).double() / 2**32 - 0.5


def initialise(network):
    """Weights of convolutions are the pattern with He's variance; what else there is stays as it starts."""
    for module in network.modules():
        if isinstance(module, torch.nn.ConvTranspose3d):
            terms = module.weight.shape[1]
        elif isinstance(module, torch.nn.Conv3d):
            terms = module.weight[0].numel()
        else:
            continue
        values = (24 / terms) ** 0.5 * pattern(module.weight.numel())
        module.weight.data.copy_(values.view_as(module.weight))
        if module.bias is not None:
            module.bias.data.zero_()


def explog_loss(scores, labels, weights):
    """The exponential logarithmic loss of docs/method.md section 4 for one image; labels (D,H,W)."""

    def power_of_log(q):
        return (-q.clamp(1e-7, 1 - 1e-7).log()) ** 0.3

    p = scores.float().softmax(1)[0].flatten(1)
    d = labels.flatten()
    of_label = p.gather(0, d[None])[0]
    both = torch.zeros(len(p)).index_add(0, d, of_label)
    sizes = torch.bincount(d, minlength=len(p)) + p.sum(1)
    dice = power_of_log((2 * both + 1) / (sizes + 1)).mean()
    cross_entropy = (weights[d] * power_of_log(of_label)).mean()
    return 0.8 * dice + 0.2 * cross_entropy


class Training:
    def __init__(self, arch, size, classes, precision, memory_format):
        voxels = size[0] * size[1] * size[2]
        self.network = peer_networks.create(arch, 1, classes)
        initialise(self.network)
        self.network.to(memory_format=memory_format)
        image = pattern(voxels).float().view(1, 1, *size)
        self.image = image.contiguous(memory_format=memory_format)
        self.labels = ((pattern(voxels) + 0.5) * classes).long().view(size)
        self.weights = torch.full((classes,), classes**0.5)
        self.optimiser = torch.optim.NAdam(self.network.parameters(), lr=1e-3)
        self.learned = [p.data for p in self.network.parameters()]
        self.averages = [torch.zeros_like(p) for p in self.learned]
        self.bfloat16 = precision == "bfloat16"

    def step(self):
        """Forward, loss, backward, update, averages; returns the loss."""
        self.optimiser.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=self.bfloat16):
            scores = self.network(self.image)
        loss = explog_loss(scores, self.labels, self.weights)
        loss.backward()
        self.optimiser.step()
        torch._foreach_lerp_(self.averages, self.learned, 0.5)
        return loss.item()


def resident(field):
    """VmRSS or VmHWM, the memory this process has or has had at most, in bytes."""
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith(field)) * 1024


def forget_peak():
    """From here on VmHWM is the peak of what follows; memory that is free but was kept goes back first."""
    ctypes.CDLL(None).malloc_trim(0)
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")


def measure(arch, size, classes, steps, seconds, precision, memory_format):
    # A first, small training brings the library's own code and threads into memory: they do not count.
    Training("n=8 p=1 sup=1 res=1 nodes=2 ops=2", (8, 8, 8), classes, precision, memory_format).step()
    base = resident("VmRSS")
    training = Training(arch, size, classes, precision, memory_format)
    forget_peak()
    losses, milliseconds = [training.step()], []
    while len(milliseconds) < steps or (sum(milliseconds) < 1e3 * seconds and len(milliseconds) < MOST_STEPS):
        start = time.monotonic()
        losses.append(training.step())
        milliseconds.append((time.monotonic() - start) * 1e3)
    return {
        "parameters": sum(p.numel() for p in training.network.parameters()),
        "milliseconds": milliseconds,
        "losses": losses,
        "peak_bytes": resident("VmHWM") - base,
    }


def main():
    arch, size, classes, threads, steps, seconds, precision, memory_format = sys.argv[1:]
    torch.set_num_threads(int(threads))
    extent = tuple(int(word) for word in size.split("x"))
    formats = {"contiguous": torch.contiguous_format, "channels_last_3d": torch.channels_last_3d}
    try:
        result = measure(
            arch, extent, int(classes), int(steps), float(seconds), precision, formats[memory_format]
        )
    except (MemoryError, RuntimeError) as error:
        if not isinstance(error, MemoryError) and not any(words in str(error) for words in MEMORY_ERRORS):
            raise
        print(f"peer_torch: {error}", file=sys.stderr)
        sys.exit(OUT_OF_MEMORY)
    json.dump(result, sys.stdout)


if __name__ == "__main__":
    main()
