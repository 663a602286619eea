# The front door: each target does all that it needs, from the packages on.
#
#   make        build build/segnas3d
#   make cuda   the same with the plug-in for NVIDIA's GPUs; needs NVIDIA's CUDA toolkit
#   make demo   search, train and predict on a synthetic cohort, or on your data: make demo DATA=folder
#   make test   build twice (release, sanitizers) and run all tests
#   make test-slurm  jobs of several processes on a real Slurm, on this machine alone
#   make bench  speed and memory beside PyTorch and oneDNN; make bench-full adds 128x128x128
#   make gpu    all that is to be tried and measured on a machine with a GPU; make gpu STAGE=bench for one thing
#   make luck DATA=folder  does an optimiser beat random points? docs/search.md; may take hours

.PHONY: all cuda test test-slurm demo bench bench-full gpu luck format clean

all:
	@scripts/setup.sh
	cmake --preset release -DBUILD_TESTING=OFF
	cmake --build --preset release --target segnas3d

cuda:
	@scripts/setup.sh cuda
	@scripts/cudnn.sh
	cmake --preset release -DBUILD_TESTING=OFF -DSEGNAS3D_CUDA=ON
	cmake --build --preset release --target segnas3d

test:
	@scripts/setup.sh test
	@scripts/test.sh

test-slurm:
	@scripts/setup.sh slurm
	cmake --preset release -DSEGNAS3D_MPI=ON
	cmake --build --preset release --target segnas3d
	@scripts/test_slurm.sh

demo: all
	@scripts/demo.sh

bench:
	@scripts/bench.sh

bench-full:
	@scripts/bench.sh full

gpu:
	@scripts/gpu.sh $(STAGE)

luck:
	@scripts/luck.sh $(DATA)

format:
	git ls-files '*.c' '*.h' '*.cu' '*.cuh' '*.cpp' | xargs clang-format -i

clean:
	rm -rf build
