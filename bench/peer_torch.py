"""Training steps of a network in PyTorch: the same work as bench/step.c, and the same JSON object.

Usage: peer_torch.py ARCH DxHxW CLASSES THREADS STEPS SECONDS PRECISION FORMAT [cuda]
PRECISION is float32, bfloat16 (autocast) or, of a GPU, tf32; FORMAT contiguous or channels_last_3d, and +compile
(torch.compile) or +graphs (likewise, with CUDA graphs: mode reduce-overhead) after it.
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
MEMORY_ERRORS = ("out of memory", "allocate memory", "could not create a", "could not execute a")  # oneDNN does not say why
MOST_STEPS = 100
MODES = {"": None, "compile": "default", "graphs": "reduce-overhead"}


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
    if p.is_cuda:  # where many threads that add to one number would wait for each other
        is_label = d == torch.arange(len(p), device=p.device)[:, None]
        both, sizes = (p * is_label).sum(1), is_label.sum(1) + p.sum(1)
    else:
        both = torch.zeros(len(p)).index_add(0, d, of_label)
        sizes = torch.bincount(d, minlength=len(p)) + p.sum(1)
    dice = power_of_log((2 * both + 1) / (sizes + 1)).mean()
    cross_entropy = (weights[d] * power_of_log(of_label)).mean()
    return 0.8 * dice + 0.2 * cross_entropy


class Way:
    """How PyTorch computes."""

    def __init__(self, precision, form, device):
        memory_format, _, mode = form.partition("+")
        self.memory_format = getattr(torch, memory_format.replace("contiguous", "contiguous_format"))
        self.mode = MODES[mode]
        self.device = device
        self.bfloat16 = precision == "bfloat16"
        torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"
        torch.backends.cudnn.benchmark = True
        self.unmeasured = 3 if self.mode else 1  # steps: compiling comes with the first ones


class Training:
    def __init__(self, arch, size, classes, way):
        voxels = size[0] * size[1] * size[2]
        self.network = peer_networks.create(arch, 1, classes)
        initialise(self.network)
        self.network.to(way.device, memory_format=way.memory_format)
        image = pattern(voxels).float().view(1, 1, *size)
        self.image = image.to(way.device).contiguous(memory_format=way.memory_format)
        self.labels = ((pattern(voxels) + 0.5) * classes).long().view(size).to(way.device)
        self.weights = torch.full((classes,), classes**0.5, device=way.device)
        self.optimiser = torch.optim.NAdam(self.network.parameters(), lr=1e-3)
        self.learned = [p.data for p in self.network.parameters()]
        self.averages = [torch.zeros_like(p) for p in self.learned]
        self.way = way
        self.loss = torch.compile(self.loss, mode=way.mode) if way.mode else self.loss

    def loss(self):
        with torch.autocast(self.way.device, torch.bfloat16, enabled=self.way.bfloat16):
            scores = self.network(self.image)
        return explog_loss(scores, self.labels, self.weights)

    def step(self):
        """Forward, loss, backward, update, averages; returns the loss."""
        self.optimiser.zero_grad()
        loss = self.loss()
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


def usage(way, field):
    """Memory of this process, or what PyTorch has of the GPU."""
    if way.device == "cpu":
        return resident(field)
    return torch.cuda.memory_reserved() if field == "VmRSS" else torch.cuda.max_memory_reserved()


def measure(arch, size, classes, steps, seconds, way):
    # A first, small training brings the library's own code and threads into memory: they do not count.
    Training("n=8 p=1 sup=1 res=1 nodes=2 ops=2", (8, 8, 8), classes, way).step()
    base = usage(way, "VmRSS")
    training = Training(arch, size, classes, way)
    forget_peak()
    losses, milliseconds = [training.step() for _ in range(way.unmeasured)], []
    while len(milliseconds) < steps or (sum(milliseconds) < 1e3 * seconds and len(milliseconds) < MOST_STEPS):
        start = time.monotonic()
        losses.append(training.step())
        milliseconds.append((time.monotonic() - start) * 1e3)
    return {
        "parameters": sum(p.numel() for p in training.network.parameters()),
        "milliseconds": milliseconds,
        "losses": losses,
        "peak_bytes": usage(way, "VmHWM") - base,
    }


def main():
    arch, size, classes, threads, steps, seconds, precision, form = sys.argv[1:9]
    way = Way(precision, form, sys.argv[9] if len(sys.argv) > 9 else "cpu")
    torch.set_num_threads(int(threads))
    extent = tuple(int(word) for word in size.split("x"))
    try:
        result = measure(arch, extent, int(classes), int(steps), float(seconds), way)
    except (MemoryError, RuntimeError) as error:
        if not isinstance(error, MemoryError) and not any(words in str(error) for words in MEMORY_ERRORS):
            raise
        print(f"peer_torch: {error}", file=sys.stderr)
        sys.exit(OUT_OF_MEMORY)
    json.dump(result, sys.stdout)


if __name__ == "__main__":
    main()
