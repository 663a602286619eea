# The front door: each target does all that it needs, from the packages on.
#
#   make        build build/segnas3d
#   make demo   search, train and predict on a synthetic cohort, or on your data: make demo DATA=folder
#   make test   build twice (release, sanitizers) and run all tests

.PHONY: all test demo format clean

all:
	@scripts/setup.sh
	cmake --preset release -DBUILD_TESTING=OFF
	cmake --build --preset release --target segnas3d

test:
	@scripts/setup.sh test
	@scripts/test.sh

demo: all
	@scripts/demo.sh

format:
	git ls-files '*.c' '*.h' | xargs clang-format -i

clean:
	rm -rf build
