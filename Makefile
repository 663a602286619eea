# The front door: each target does all that it needs, from the packages on.
#
#   make        build build/segnas3d
#   make demo   search, train and predict on a synthetic cohort, or on your data: make demo DATA=folder
#   make test   build twice (release, sanitizers) and run all tests

.PHONY: all setup test demo format clean

all: setup
	cmake --preset release
	cmake --build --preset release --target segnas3d

setup:
	@scripts/setup.sh

test: setup
	@scripts/test.sh

demo: all
	@DATA="$(DATA)" scripts/demo.sh

format:
	git ls-files '*.c' '*.h' | xargs clang-format -i

clean:
	rm -rf build
