# SPDX-License-Identifier: Apache-2.0
# Compiler flags, and the helper functions by which every folder declares what it builds.

add_compile_options(-Wall -Wextra -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes
                    -Wvla -Wformat=2 -fstack-protector-strong -fno-omit-frame-pointer)
add_compile_definitions(_GNU_SOURCE CENOTE_VERSION_TEXT="${PROJECT_VERSION}")
add_link_options(-Wl,-z,relro,-z,now)
if(CENOTE_WERROR)
  add_compile_options(-Werror)
endif()
if(CENOTE_FUZZ)
  if(NOT CMAKE_C_COMPILER_ID MATCHES Clang)
    message(FATAL_ERROR "CENOTE_FUZZ needs -DCMAKE_C_COMPILER=clang-14")
  endif()
  add_compile_definitions(CENOTE_SMALL_TABLES=1)
  add_compile_options(-fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all)
  add_link_options(-fsanitize=address,undefined)
elseif(CENOTE_SANITIZE)
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

# Labels of tests: unit, contract, scenario, system, guest, control, tidy; tests/run.sh chooses by them.
# Builds with CENOTE_FUZZ have the label fuzz, which tests/fuzz/run.sh runs.
#
# LeakSanitizer can't report from Criterion's forked workers, so leaks are looked for in programs
# with a plain main only: cenote_scenario, and whatever a system test starts.
add_custom_target(units)     # what `ctest -L "^(unit|contract)$"` needs
add_custom_target(scenarios) # what `ctest -L scenario` needs
add_custom_target(controls)  # what `ctest -L control` needs
add_custom_target(fuzzers)   # what `ctest -L fuzz` needs
set(CENOTE_FUZZ_SECONDS 3 CACHE STRING "How long ctest runs each fuzzer")
set(CENOTE_FUZZ_SEED 1 CACHE STRING "Where they begin")
set(CENOTE_EXPECT_FAILURE ${PROJECT_SOURCE_DIR}/tests/expect_failure.py)
set(CENOTE_PYTHON /usr/bin/python3)
set(CENOTE_SANITIZER_ENV
    "UBSAN_OPTIONS=print_stacktrace=1;TSAN_OPTIONS=halt_on_error=1:second_deadlock_stack=1")
set(CENOTE_SYSTEM_ENV "CENOTE_BIN=${CMAKE_BINARY_DIR}/bin;CENOTE_LIB=${CMAKE_BINARY_DIR}/lib"
    "CENOTE_SOURCE=${PROJECT_SOURCE_DIR};CENOTE_SANITIZE=${CENOTE_SANITIZE}"
    "PYTHONDONTWRITEBYTECODE=1")

# cenote_test_properties(TEST LEAKS SECONDS label...): internal.
function(cenote_test_properties test leaks seconds)
  if(CMAKE_CROSSCOMPILING) # an emulator runs it
    math(EXPR seconds "${seconds} * 10")
  endif()
  set_tests_properties(${test} PROPERTIES TIMEOUT ${seconds} LABELS "${ARGN}" SKIP_RETURN_CODE 77
    ENVIRONMENT "ASAN_OPTIONS=detect_leaks=${leaks}:allocator_may_return_null=1;${CENOTE_SANITIZER_ENV}")
endfunction()

# cenote_unit_test(NAME SOURCES f.c... [DEPS target...] [LABELS contract]): a Criterion program.
function(cenote_unit_test name)
  cmake_parse_arguments(arg "" "" "SOURCES;DEPS;LABELS" ${ARGN})
  add_executable(${name} ${arg_SOURCES})
  target_link_libraries(${name} PRIVATE ${arg_DEPS} PkgConfig::CRITERION)
  add_dependencies(units ${name})
  add_test(NAME unit/${name} COMMAND ${name})
  cenote_test_properties(unit/${name} 0 120 unit ${arg_LABELS})
endfunction()

# cenote_scenario(NAME [ONE_THREAD] SOURCES f.c... [DEPS target...] [ARGS ...] [LABELS contract]): a
# program with a plain main. It runs in the release build and under AddressSanitizer, where it must
# leave no leak, and under ThreadSanitizer, unless it has ONE_THREAD only.
function(cenote_scenario name)
  cmake_parse_arguments(arg "ONE_THREAD" "" "SOURCES;DEPS;ARGS;LABELS" ${ARGN})
  add_executable(${name} ${arg_SOURCES})
  target_link_libraries(${name} PRIVATE ${arg_DEPS})
  if(arg_ONE_THREAD AND CENOTE_SANITIZE STREQUAL "thread")
    return()
  endif()
  add_dependencies(scenarios ${name})
  if("contract" IN_LIST arg_LABELS)
    add_dependencies(units ${name})
  endif()
  add_test(NAME scenario/${name} COMMAND ${name} ${arg_ARGS})
  cenote_test_properties(scenario/${name} 1 300 scenario ${arg_LABELS})
endfunction()

# cenote_system_test(NAME SCRIPT [arg...]): tests/system/SCRIPT drives real daemons and tools. It
# finds them by CENOTE_BIN and CENOTE_LIB; exit status 77 skips.
function(cenote_system_test name script)
  add_test(NAME system/${name}
           COMMAND ${CENOTE_PYTHON} ${PROJECT_SOURCE_DIR}/tests/system/${script} ${ARGN})
  cenote_test_properties(system/${name} 1 300 system)
  set_property(TEST system/${name} APPEND PROPERTY ENVIRONMENT ${CENOTE_SYSTEM_ENV})
endfunction()

# cenote_guest_test(NAME SCRIPT [arg...]): tests/vm/SCRIPT runs programs in guests that take all cores.
# Nothing runs beside them: an interpreted processor takes three times as long where it must share a
# core, and what is said about their time holds for a machine of their own. They begin the run, as
# nothing else would be waited for by all others.
function(cenote_guest_test name script)
  add_test(NAME ${name} COMMAND ${CENOTE_PYTHON} ${PROJECT_SOURCE_DIR}/tests/vm/${script} ${ARGN})
  cenote_test_properties(${name} 1 900 guest)
  set_tests_properties(${name} PROPERTIES RUN_SERIAL TRUE COST 1000)
  set_property(TEST ${name} APPEND PROPERTY ENVIRONMENT ${CENOTE_SYSTEM_ENV})
endfunction()

# cenote_control(NAME SWITCH s REPORT regex PROGRAM target | SCRIPT file [ARGS ...] [DEPS target...])
# A negative control: the program, or tests/system/file, passes as it is, and fails with a report
# that matches regex when the mechanism s of transport/base/testswitch.h is off. DEPS are further
# programs that it starts. Exists in builds with -DCENOTE_TEST_SWITCHES=ON only.
function(cenote_control name)
  if(NOT CENOTE_TEST_SWITCHES)
    return()
  endif()
  cmake_parse_arguments(arg "" "SWITCH;REPORT;PROGRAM;SCRIPT" "ARGS;DEPS" ${ARGN})
  if(arg_PROGRAM)
    set(command $<TARGET_FILE:${arg_PROGRAM}>)
    add_dependencies(controls ${arg_PROGRAM})
  else()
    set(command ${CENOTE_PYTHON} ${PROJECT_SOURCE_DIR}/tests/system/${arg_SCRIPT})
  endif()
  if(arg_DEPS)
    add_dependencies(controls ${arg_DEPS})
  endif()
  add_test(NAME control/${name}
           COMMAND ${CENOTE_PYTHON} ${CENOTE_EXPECT_FAILURE} --switch ${arg_SWITCH}
                   --report ${arg_REPORT} -- ${command} ${arg_ARGS})
  cenote_test_properties(control/${name} 1 300 control)
  set_property(TEST control/${name} APPEND PROPERTY ENVIRONMENT ${CENOTE_SYSTEM_ENV})
endfunction()

# cenote_fuzzer(NAME [RECORDS] SOURCES f.c... CORPUS dir [DEPS target...]): a parser under hostile
# bytes, by LLVMFuzzerTestOneInput(). Usual builds replay the corpus, its files' beginnings included;
# builds with CENOTE_FUZZ search on from there. RECORDS: inputs are lists of records, which
# tests/fuzz/mutate.c knows how to change.
function(cenote_fuzzer name)
  cmake_parse_arguments(arg "RECORDS" "CORPUS" "SOURCES;DEPS" ${ARGN})
  set(corpus ${CMAKE_CURRENT_SOURCE_DIR}/${arg_CORPUS})
  add_executable(${name} ${arg_SOURCES})
  target_link_libraries(${name} PRIVATE ${arg_DEPS})
  add_dependencies(fuzzers ${name})
  if(CENOTE_FUZZ)
    target_link_options(${name} PRIVATE -fsanitize=fuzzer)
    if(arg_RECORDS)
      target_sources(${name} PRIVATE ${PROJECT_SOURCE_DIR}/tests/fuzz/mutate.c)
    endif()
    set(found ${CMAKE_BINARY_DIR}/corpus/${name})
    file(MAKE_DIRECTORY ${found})
    add_test(NAME fuzz/${name} COMMAND ${name} -seed=${CENOTE_FUZZ_SEED} -timeout=10
                                       -max_total_time=${CENOTE_FUZZ_SECONDS} -rss_limit_mb=2048
                                       ${found} ${corpus})
    math(EXPR limit "${CENOTE_FUZZ_SECONDS} + 60")
    cenote_test_properties(fuzz/${name} 1 ${limit} fuzz)
  else()
    target_sources(${name} PRIVATE ${PROJECT_SOURCE_DIR}/tests/fuzz/replay.c)
    set(cuts 4096)
    if(arg_RECORDS)
      set(cuts 2)
    endif()
    add_dependencies(units ${name})
    add_test(NAME fuzz/${name} COMMAND ${name} ${cuts} ${corpus})
    cenote_test_properties(fuzz/${name} 1 120 unit)
  endif()
endfunction()

# cenote_embed(TARGET HEADER h TABLE name FILES f...): compiles files into a target, as a table that
# the header declares; see Embed.cmake.
function(cenote_embed target)
  cmake_parse_arguments(arg "" "HEADER;TABLE" "FILES" ${ARGN})
  set(script ${PROJECT_SOURCE_DIR}/deploy/cmake/Embed.cmake)
  set(output ${CMAKE_CURRENT_BINARY_DIR}/${arg_TABLE}.c)
  list(TRANSFORM arg_FILES PREPEND ${CMAKE_CURRENT_SOURCE_DIR}/)
  add_custom_command(OUTPUT ${output} DEPENDS ${script} ${arg_FILES} VERBATIM
                     COMMAND ${CMAKE_COMMAND} -DOUTPUT=${output} -DHEADER=${arg_HEADER}
                             -DTABLE=${arg_TABLE} "-DFILES=${arg_FILES}" -P ${script})
  target_sources(${target} PRIVATE ${output})
endfunction()
