# SPDX-License-Identifier: MIT
#
# What the tests stand on: CTest itself, cmocka, a C++ compiler, and tarn_unit_test().

enable_testing()
include(CheckLanguage)
find_package(PkgConfig QUIET)
if(PkgConfig_FOUND)
    pkg_check_modules(CMOCKA QUIET IMPORTED_TARGET cmocka)
endif()
# What was not there when `make run` configured this tree may be there now that `make check` has set up.
if(NOT CMAKE_CXX_COMPILER)
    unset(CMAKE_CXX_COMPILER CACHE)
endif()
check_language(CXX)
if(NOT TARGET PkgConfig::CMOCKA OR NOT CMAKE_CXX_COMPILER)
    # `make check` sets them up first, and CTest fails when it finds no tests.
    message(STATUS "Tests are left out: they need cmocka, pkg-config and a C++ compiler (tools/setup check).")
    set(TARN_TESTS OFF)
    return()
endif()
enable_language(CXX)

set(TARN_TEST_PREFIX)
if(TARN_VALGRIND)
    find_program(VALGRIND valgrind REQUIRED)
    set(TARN_TEST_PREFIX ${VALGRIND} --quiet --error-exitcode=99 --leak-check=full --errors-for-leak-kinds=definite)
endif()

# tarn_unit_test(NAME SOURCE... [LABELS label...] [TIMEOUT seconds] [LIBRARIES target...])
#
# Builds the cmocka program NAME from the sources and registers it with CTest. It is linked with the static
# library, so that internals can be tested, and may include "folder/header.h" of src/.
function(tarn_unit_test name)
    cmake_parse_arguments(PARSE_ARGV 1 arg "" "TIMEOUT" "LABELS;LIBRARIES")
    if(NOT arg_TIMEOUT)
        set(arg_TIMEOUT 120)
    endif()
    if(TARN_VALGRIND)
        math(EXPR arg_TIMEOUT "${arg_TIMEOUT} * 5")
    endif()
    add_executable(${name} ${arg_UNPARSED_ARGUMENTS})
    target_include_directories(${name} PRIVATE "${PROJECT_SOURCE_DIR}/src" "${PROJECT_SOURCE_DIR}/tests")
    target_link_libraries(${name} PRIVATE tarn_flags tarn_static PkgConfig::CMOCKA ${arg_LIBRARIES})
    add_test(NAME ${name} COMMAND ${TARN_TEST_PREFIX} $<TARGET_FILE:${name}>)
    set_tests_properties(${name} PROPERTIES TIMEOUT ${arg_TIMEOUT} LABELS "unit;${arg_LABELS}")
endfunction()
