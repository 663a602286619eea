"""What `make bench` does: training steps beside PyTorch, then convolutions beside oneDNN.

Usage: compare.py [--full] [--threads 2] [--rounds 3] [--only "WORD..."] [--device cuda] [--alone]
scripts/bench.sh and scripts/gpu.sh, which run it, say more. --alone: without PyTorch.

Every measurement is a process of its own, alone while it runs. A round measures each network with each
engine, one after the other, so that a disturbance of the machine meets all of them; numbers are medians over
the steps of all rounds. Of PyTorch's memory formats, on a GPU also compiled or not, the fastest one counts for time
and the smallest one for memory; all run in the first round, later only those whose best step is within a quarter
of the fastest's.
That both engines compute the same is checked: as many parameters, and the same losses in the first steps.
"""
import argparse
import json
import math
import os
import resource
import statistics
import subprocess
import sys

from tables import print_gpu_steps, print_layers, print_steps

BUILD = "build"
CLASSES = 20
STEPS, SECONDS = 2, 0.5  # of one measurement, at least
OUT_OF_MEMORY = (9, -9)  # exit code of bench_step and peer_torch.py; the kernel's kill
FORMATS = ("contiguous", "channels_last_3d")
COMPILED = FORMATS + ("channels_last_3d+compile", "channels_last_3d+graphs")
TOLERANCE = {"float32": 2e-3, "tf32": 5e-3, "bfloat16": 2e-2}  # of the first losses
MIB = 2**20

NETWORKS = {
    "SegNAS4": "n=21 p=3 sup=1 res=0 nodes=3 ops=2,0,2",
    "SegNAS4 n=8": "n=8 p=3 sup=1 res=0 nodes=3 ops=2,0,2",
    "SegNAS4 n=32": "n=32 p=3 sup=1 res=0 nodes=3 ops=2,0,2",
    "SegNAS11": "n=26 p=3 sup=0 res=1 nodes=3 ops=2,2,3",
    "SegNAS7": "n=16 p=4 sup=0 res=1 nodes=4 ops=6,2,3,0,4,3",
    "dilated": "n=16 p=3 sup=1 res=1 nodes=3 ops=4,0,5",
    "V-Net": "net=vnet",
    "3D U-Net": "net=unet3d",
}
EXTENTS = ("48x64x48", "64x64x64")
FULL_EXTENTS = ("128x128x128",)
GPU_EXTENTS = ("64x64x64", "128x128x128")


class Plan:
    """What is measured on a device: extents, precisions that are ours and PyTorch's, and PyTorch's ways."""

    def __init__(self, device, extents, ours, theirs, formats):
        self.device, self.extents, self.ours, self.theirs, self.formats = device, extents, ours, theirs, formats

    @property
    def is_gpu(self):
        return self.device != "cpu"


PLANS = {
    "cpu": Plan("cpu", EXTENTS, ("float32",), ("float32", "bfloat16"), FORMATS),
    "cuda": Plan("cuda", GPU_EXTENTS, tuple(TOLERANCE), tuple(TOLERANCE), COMPILED),
}


def progress(text):
    print(text, file=sys.stderr, flush=True)


# ---- programs ----


def available_memory():
    """Memory that a process could get now, in bytes."""
    with open("/proc/meminfo") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("MemAvailable")) * 1024


def limit_memory():
    """An allocation that cannot be served fails at once, instead of the machine running out of memory."""
    limit = available_memory()
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))


def run(command, limit=limit_memory):
    """The JSON lines that a program prints; None where memory is not enough. If it fails, so do we."""
    environment = {**os.environ, "SEGNAS3D_PLUGINS": BUILD}
    process = subprocess.run(command, stdout=subprocess.PIPE, text=True, preexec_fn=limit, env=environment)
    if process.returncode in OUT_OF_MEMORY:
        return None
    if process.returncode != 0:
        sys.exit(f"exit code {process.returncode}: {' '.join(command)}")
    return [json.loads(line) for line in process.stdout.splitlines()]


def parameters_of(arch):
    """What the program says about its network."""
    choice = ["--net", arch[4:]] if arch.startswith("net=") else ["--arch", arch]
    command = [f"{BUILD}/segnas3d", "inspect", *choice, "--classes", str(CLASSES), "--json"]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)["parameters"]


# ---- training steps ----


class Series:
    """The measurements of one network at one extent in one way."""

    def __init__(self, case, engine, precision, memory_format=None):
        self.case, self.engine, self.precision, self.format = case, engine, precision, memory_format
        self.milliseconds, self.peaks = [], []  # of all rounds
        self.losses = []  # of the first
        self.planned = None
        self.fits = True  # in memory; and its losses are numbers

    def measure(self, threads):
        device = self.case.plan.device
        work = [self.case.arch, self.case.extent, str(CLASSES), str(threads), str(STEPS), str(SECONDS)]
        if self.engine == "segnas3d":
            command = [f"{BUILD}/bench/bench_step", *work, device, self.precision.replace("bfloat", "bf")]
        else:
            command = [sys.executable, "bench/peer_torch.py", *work, self.precision, self.format, device]
        results = run(command, None if self.case.plan.is_gpu else limit_memory)
        result = results[0] if results is not None else {"losses": []}
        self.fits = results is not None and not any(map(math.isnan, result["losses"]))
        if self.fits:
            self.milliseconds += result["milliseconds"]
            self.peaks.append(result["peak_bytes"])
            self.losses = self.losses or result["losses"][:3]
            self.planned = result.get("planned_bytes")
            self.case.check(self, result["parameters"])
        failure = "does not fit" if results is None else "its loss is no number"
        progress(f"  {self}: {result['milliseconds'][-1]:.1f} ms" if self.fits else f"  {self}: {failure}")

    @property
    def median(self):
        return statistics.median(self.milliseconds)

    @property
    def peak(self):
        return statistics.median(self.peaks)

    def __str__(self):
        return " ".join(filter(None, (self.case.title, self.engine, self.precision, self.format)))


class Case:
    """A network at an extent, and what is measured of it: ours first."""

    def __init__(self, network, arch, extent, plan):
        self.network, self.arch, self.extent, self.plan = network, arch, extent, plan
        self.title = f"{network} {extent}"
        self.parameters = parameters_of(arch)
        self.ways = [[Series(self, "segnas3d", precision)] for precision in plan.ours]
        self.ours = self.ways[0][0]
        for precision in plan.theirs:  # each way is a row of the results: its fastest series
            self.ways.append([Series(self, "pytorch", precision, name) for name in plan.formats])

    def check(self, series, parameters):
        """Forward, backward and update of a peer must do what ours do."""
        if parameters != self.parameters:
            sys.exit(f"{series}: {parameters} parameters, segnas3d inspect says {self.parameters}")
        for ours, theirs in zip(self.ours.losses, series.losses):
            if not abs(ours - theirs) <= TOLERANCE[series.precision] * abs(ours):
                sys.exit(f"{series}: losses {series.losses}, ours are {self.ours.losses}")

    def contenders(self):
        """The series that are worth another round."""
        found = []
        for way in self.ways:
            fastest = min((min(s.milliseconds) for s in way if s.milliseconds), default=0)
            found += [s for s in way if not s.milliseconds or min(s.milliseconds) <= 1.25 * fastest]
        return [series for series in found if series.fits]

    def rows(self):
        """Rows of build/bench.json: ours in each precision, PyTorch in each."""
        return [self.row(way) for way in self.ways]

    def row(self, way):
        row = {
            "network": self.network,
            "extent": self.extent,
            "engine": way[0].engine,
            "precision": way[0].precision,
            "milliseconds": None,
            "peak_mib": None,
            "arch": self.arch,
            "learned_mib": 20 * self.parameters / MIB,  # weight, gradient, two moments, average
        }
        done = [series for series in way if series.milliseconds]
        if done:
            fastest = min(done, key=lambda series: series.median)
            smallest = min(done, key=lambda series: series.peak)
            row.update(milliseconds=fastest.median, peak_mib=smallest.peak / MIB)
            row.update(repeats=len(fastest.milliseconds), format=fastest.format, peak_format=smallest.format)
            row.update(planned_mib=fastest.planned and fastest.planned / MIB)
        return row


def compare_steps(options, words):
    """False where nothing is meant."""
    plan = PLANS[options.device]
    extents = plan.extents + (FULL_EXTENTS if options.full and not plan.is_gpu else ())
    cases = [Case(network, arch, extent, plan) for network, arch in NETWORKS.items() for extent in extents]
    cases = [case for case in cases if all(word in f"{case.title} {case.arch}" for word in words)]
    if not cases:
        return False
    for number in range(1, options.rounds + 1):
        for case in cases:
            progress(f"round {number} of {options.rounds}: {case.title}")
            for series in case.contenders():
                if series.engine == "segnas3d" or not options.alone:
                    series.measure(options.threads)
        save("bench_gpu.json" if plan.is_gpu else "bench.json", [row for case in cases for row in case.rows()])
    rows = [row for case in cases for row in case.rows()]
    if plan.is_gpu:
        print_gpu_steps(rows, CLASSES, plan.ours)
    else:
        print_steps(rows, CLASSES, options.threads)
    return True


# ---- convolutions ----


def layer_rows(result):
    """Rows of build/bench_layers.json for one line of bench_layers."""
    common = {"network": result["layer"], "direction": result["direction"], "precision": "float32"}
    common["repeats"] = result["repeats"]
    ours = {**common, "engine": "segnas3d-layer", "milliseconds": result["segnas3d"]}
    ours["difference"] = result["difference"]
    onednn = {**common, "engine": "onednn-layer", "milliseconds": result.get("onednn")}
    return [ours, {**onednn, "format": result.get("layout")}]


def layer_result(rounds):
    """One line of bench_layers for those of all rounds: medians of their times."""
    result = dict(rounds[0])
    for engine in ("segnas3d", "onednn"):
        if engine in result:
            result[engine] = statistics.median(line[engine] for line in rounds)
    result["repeats"] = sum(line["repeats"] for line in rounds)
    return result


def compare_layers(options, words):
    """False where nothing is meant."""
    rounds = []
    for number in range(1, options.rounds + 1):
        progress(f"round {number} of {options.rounds}: convolutions")
        rounds.append(run([f"{BUILD}/bench/bench_layers", str(options.threads), *words]))
    if not rounds[0]:
        return False
    rows = [row for lines in zip(*rounds) for row in layer_rows(layer_result(lines))]
    save("bench_layers.json", rows)
    print_layers(rows, options.threads)
    return True


def save(name, rows):
    path = f"{BUILD}/{name}"
    with open(path + ".new", "w") as file:
        json.dump(rows, file, indent=1)
        file.write("\n")
    os.replace(path + ".new", path)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default="")
    parser.add_argument("--alone", action="store_true")
    parser.add_argument("--device", choices=tuple(PLANS), default="cpu")
    options = parser.parse_args()
    words = options.only.split()
    steps = compare_steps(options, words)
    layers = options.device == "cpu" and compare_layers(options, words)
    if not steps and not layers:
        sys.exit(f"nothing that is measured has all of these words: {options.only}")


if __name__ == "__main__":
    main()
