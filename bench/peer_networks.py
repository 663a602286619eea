"""The networks of docs/architectures.md in plain PyTorch: what bench compares the program with.

They compute what src/arch builds and have as many parameters; how they compute it is what a PyTorch user
would write. Extents must be multiples of 2^poolings: padding and cropping are left out.
"""
import torch
from torch import nn
from torch.nn import functional as F

# Number of a block operation: (kernel, dilation); 0 is none, 6 a skip.
CONVOLUTIONS = {1: (1, 1), 2: (3, 1), 3: (5, 1), 4: (3, 2), 5: (5, 2)}
SKIP = 6


def conv_norm(i, o, kernel, dilation=1, stride=1, activation=None):
    """Convolution without bias, batch normalisation, activation."""
    padding = dilation * (kernel - 1) // 2 if stride == 1 else 0
    conv = nn.Conv3d(i, o, kernel, stride, padding, dilation, bias=False)
    return nn.Sequential(conv, nn.BatchNorm3d(o), *([activation] if activation else []))


def conv_norm_relu(i, o, kernel, dilation=1):
    return conv_norm(i, o, kernel, dilation, activation=nn.ReLU(inplace=True))


def skip(i, o):
    return nn.Identity() if i == o else conv_norm(i, o, 1)


def upsample(x):
    return F.interpolate(x, scale_factor=2, mode="nearest")


class MegaBlock(nn.Module):
    """The block of an architecture and its residual connection; dropout is off."""

    def __init__(self, arch, i, o):
        super().__init__()
        self.edges, self.operations = [], nn.ModuleList()
        pairs = [(a, b) for a in range(arch["nodes"]) for b in range(a + 1, arch["nodes"])]
        for (a, b), op in zip(pairs, arch["ops"]):
            channels = i if a == 0 else o
            if op in CONVOLUTIONS:
                self.operations.append(conv_norm_relu(channels, o, *CONVOLUTIONS[op]))
            elif op == SKIP:
                self.operations.append(skip(channels, o))
            if op != 0:
                self.edges.append((a, b))
        self.residual = skip(i, o) if arch["res"] else None

    def forward(self, x):
        nodes = {0: x}
        for (a, b), operation in sorted(zip(self.edges, self.operations), key=lambda edge: edge[0][1]):
            y = operation(nodes[a])
            nodes[b] = nodes[b] + y if b in nodes else y
        y = nodes[max(nodes)]
        return y + self.residual(x) if self.residual else y


class SegNAS(nn.Module):
    def __init__(self, arch, channels, classes):
        super().__init__()
        n, p = arch["n"], arch["p"]
        widths = [n << level for level in range(p + 1)]
        self.encoder = nn.ModuleList(MegaBlock(arch, i, o) for i, o in zip([channels] + widths, widths))
        self.decoder = nn.ModuleList(MegaBlock(arch, 3 * w, w) for w in widths[:p])
        levels = p if arch["sup"] else 1
        self.scores = nn.ModuleList(nn.Conv3d(w, classes, 1, bias=w == n) for w in widths[:levels])

    def forward(self, x):
        outputs, scores = [], None
        for block in self.encoder[:-1]:
            outputs.append(block(x))
            x = F.max_pool3d(outputs[-1], 2)
        x = self.encoder[-1](x)
        for level in reversed(range(len(self.decoder))):
            x = self.decoder[level](torch.cat((upsample(x), outputs[level]), 1))
            if level < len(self.scores):
                y = self.scores[level](x)
                scores = y if scores is None else y + upsample(scores)
        return scores


class UNet3D(nn.Module):
    def __init__(self, channels, classes):
        super().__init__()

        def pair(i, middle, o):
            return nn.Sequential(conv_norm_relu(i, middle, 3), conv_norm_relu(middle, o, 3))

        widths = [64 << level for level in range(4)]
        inputs = [channels] + widths
        self.encoder = nn.ModuleList(pair(i, w // 2, w) for i, w in zip(inputs, widths))
        self.up = nn.ModuleList(nn.ConvTranspose3d(2 * w, 2 * w, 2, 2) for w in widths[:3])
        self.decoder = nn.ModuleList(pair(3 * w, w, w) for w in widths[:3])
        self.scores = nn.Conv3d(widths[0], classes, 1)

    def forward(self, x):
        outputs = []
        for block in self.encoder[:-1]:
            outputs.append(block(x))
            x = F.max_pool3d(outputs[-1], 2)
        x = self.encoder[-1](x)
        for level in (2, 1, 0):
            x = self.decoder[level](torch.cat((self.up[level](x), outputs[level]), 1))
        return self.scores(x)


class VNetStage(nn.Module):
    """`count` 5^3 convolutions with PReLU; the residual is added before the last."""

    def __init__(self, i, residual, o, count):
        super().__init__()
        self.convs = nn.ModuleList(conv_norm(i if c == 0 else o, o, 5) for c in range(count))
        self.activations = nn.ModuleList(nn.PReLU(o) for _ in range(count))
        self.residual = skip(residual, o)

    def forward(self, x, residual):
        for conv, activation in zip(self.convs[:-1], self.activations[:-1]):
            x = activation(conv(x))
        return self.activations[-1](self.convs[-1](x) + self.residual(residual))


class VNet(nn.Module):
    def __init__(self, channels, classes):
        super().__init__()
        widths = [16 << level for level in range(5)]
        inputs = [channels] + widths[1:]
        counts = (1, 2, 3, 3, 3)
        self.encoder = nn.ModuleList(VNetStage(i, i, w, c) for i, w, c in zip(inputs, widths, counts))
        self.down = nn.ModuleList(self.strided(w, 2 * w) for w in widths[:4])
        self.up = nn.ModuleList(self.transposed(i, 2 * w) for i, w in zip((64, 128, 256, 256), widths))
        self.decoder = nn.ModuleList(VNetStage(3 * w, 2 * w, 2 * w, c) for w, c in zip(widths[:4], counts))
        self.scores = nn.Conv3d(32, classes, 1)

    @staticmethod
    def strided(i, o):
        return conv_norm(i, o, 2, stride=2, activation=nn.PReLU(o))

    @staticmethod
    def transposed(i, o):
        return nn.Sequential(nn.ConvTranspose3d(i, o, 2, 2, bias=False), nn.BatchNorm3d(o), nn.PReLU(o))

    def forward(self, x):
        outputs = []
        for level, stage in enumerate(self.encoder):
            x = self.down[level - 1](x) if level else x
            x = stage(x, x)
            outputs.append(x)
        for level in (3, 2, 1, 0):
            raised = self.up[level](x)
            x = self.decoder[level](torch.cat((raised, outputs[level]), 1), raised)
        return self.scores(x)


def parse(text):
    """ "n=21 p=3 ... ops=2,0,2" or "net=vnet" as a dictionary; every field must be there."""
    fields = dict(word.split("=") for word in text.split())
    if "net" in fields:
        return fields
    arch = {name: int(fields[name]) for name in ("n", "p", "sup", "res", "nodes")}
    arch["ops"] = [int(op) for op in fields["ops"].split(",")]
    return arch


def create(text, channels, classes):
    """The network that an architecture's text means."""
    arch = parse(text)
    if "net" in arch:
        return {"unet3d": UNet3D, "vnet": VNet}[arch["net"]](channels, classes)
    return SegNAS(arch, channels, classes)
