# The libraries the product stands on, each as one imported target (docs/architecture.md says what each is for).
find_package(PkgConfig REQUIRED)
find_package(Threads REQUIRED)
find_package(OpenMP REQUIRED COMPONENTS C)
find_package(ZLIB REQUIRED)
pkg_check_modules(nlopt REQUIRED IMPORTED_TARGET nlopt)
pkg_check_modules(sqlite REQUIRED IMPORTED_TARGET sqlite3)
pkg_check_modules(jansson REQUIRED IMPORTED_TARGET jansson)
pkg_check_modules(xxhash REQUIRED IMPORTED_TARGET libxxhash)
pkg_check_modules(png REQUIRED IMPORTED_TARGET libpng)

# nifti_clib has no pkg-config file in Debian.
find_path(NIFTI_INCLUDE nifti2_io.h PATH_SUFFIXES nifti REQUIRED)
find_library(NIFTI_LIBRARY niftiio2 nifti2 REQUIRED)
find_library(ZNZ_LIBRARY znz REQUIRED)
add_library(nifti INTERFACE)
target_include_directories(nifti SYSTEM INTERFACE ${NIFTI_INCLUDE})
target_link_libraries(nifti INTERFACE ${NIFTI_LIBRARY} ${ZNZ_LIBRARY} ZLIB::ZLIB)
