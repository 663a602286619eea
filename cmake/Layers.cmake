# Flags that every part of the product is compiled with.
add_library(segnas3d_flags INTERFACE)
target_compile_options(segnas3d_flags INTERFACE
  -Wall -Wextra -Wshadow -Wpointer-arith -fno-math-errno
  $<$<COMPILE_LANGUAGE:C>:-Wstrict-prototypes;-Wmissing-prototypes>
  $<$<BOOL:${SEGNAS3D_WERROR}>:$<IF:$<COMPILE_LANGUAGE:CUDA>,--Werror=all-warnings,-Werror>>)
target_compile_definitions(segnas3d_flags INTERFACE _GNU_SOURCE)
if(SEGNAS3D_SANITIZE)
  target_compile_options(segnas3d_flags INTERFACE -fsanitize=address,undefined -fno-sanitize-recover=all
    -fno-omit-frame-pointer -g)
  target_link_options(segnas3d_flags INTERFACE -fsanitize=address,undefined)
endif()

# sn_layer(NAME LINKS target...): a folder of src as a static library. LINKS names the layers and libraries it may
# use; docs/architecture.md holds the same table and a test compares the #includes with it.
function(sn_layer name)
  cmake_parse_arguments(LAYER "" "" "LINKS" ${ARGN})
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*.c)
  add_library(${name} STATIC ${sources})
  target_include_directories(${name} PUBLIC ${CMAKE_SOURCE_DIR}/src)
  target_link_libraries(${name} PUBLIC segnas3d_flags ${LAYER_LINKS})
endfunction()
