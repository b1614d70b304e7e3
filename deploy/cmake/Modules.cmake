# SPDX-License-Identifier: Apache-2.0
# Compiler flags, and the helper functions by which every folder declares what it builds.

add_compile_options(-Wall -Wextra -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes
                    -Wvla -Wformat=2 -fstack-protector-strong -fno-omit-frame-pointer)
add_compile_definitions(_GNU_SOURCE CENOTE_VERSION_TEXT="${PROJECT_VERSION}")
add_link_options(-Wl,-z,relro,-z,now)
if(CENOTE_WERROR)
  add_compile_options(-Werror)
endif()
if(CENOTE_SANITIZE)
  add_compile_options(-fsanitize=${CENOTE_SANITIZE} -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${CENOTE_SANITIZE})
elseif(NOT CMAKE_BUILD_TYPE STREQUAL Debug)
  add_compile_options(-U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2)
endif()
if(CENOTE_COVERAGE)
  add_compile_options(--coverage)
  add_link_options(--coverage)
endif()
if(CENOTE_TEST_SWITCHES)
  add_compile_definitions(CENOTE_TEST_SWITCHES=1)
endif()
include_directories(${PROJECT_SOURCE_DIR} ${PROJECT_SOURCE_DIR}/include)

# cenote_module(NAME SOURCES f.c... [DEPS target...]): one folder's code as a static library.
function(cenote_module name)
  cmake_parse_arguments(arg "" "" "SOURCES;DEPS" ${ARGN})
  add_library(${name} STATIC ${arg_SOURCES})
  target_link_libraries(${name} PUBLIC ${arg_DEPS})
endfunction()

# cenote_program(NAME SOURCES f.c... [DEPS target...]): an installed program.
function(cenote_program name)
  cmake_parse_arguments(arg "" "" "SOURCES;DEPS" ${ARGN})
  add_executable(${name} ${arg_SOURCES})
  target_link_options(${name} PRIVATE -pie)
  target_link_libraries(${name} PRIVATE ${arg_DEPS})
endfunction()

# cenote_unit_test(NAME SOURCES f.c... [DEPS target...]): a Criterion program, run by ctest.
function(cenote_unit_test name)
  cmake_parse_arguments(arg "" "" "SOURCES;DEPS" ${ARGN})
  add_executable(${name} ${arg_SOURCES})
  target_link_libraries(${name} PRIVATE ${arg_DEPS} PkgConfig::CRITERION)
  add_test(NAME unit/${name} COMMAND ${name})
  set_tests_properties(unit/${name} PROPERTIES TIMEOUT 120)
endfunction()

# cenote_scenario(NAME SOURCES f.c... [DEPS target...] [ARGS ...]): a program with a plain main
# (leaks and races are only seen in these), run by ctest.
function(cenote_scenario name)
  cmake_parse_arguments(arg "" "" "SOURCES;DEPS;ARGS" ${ARGN})
  add_executable(${name} ${arg_SOURCES})
  target_link_libraries(${name} PRIVATE ${arg_DEPS})
  add_test(NAME scenario/${name} COMMAND ${name} ${arg_ARGS})
  set_tests_properties(scenario/${name} PROPERTIES TIMEOUT 300)
endfunction()
