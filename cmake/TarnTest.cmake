# SPDX-License-Identifier: MIT
find_package(PkgConfig QUIET)
if(PkgConfig_FOUND)
    pkg_check_modules(CMOCKA QUIET IMPORTED_TARGET cmocka)
endif()
if(NOT TARGET PkgConfig::CMOCKA)
    message(FATAL_ERROR "The tests need cmocka: run 'tools/setup check', or configure with -DTARN_TESTS=OFF.")
endif()

# tarn_unit_test(NAME SOURCE... [LABELS label...] [TIMEOUT seconds] [LIBRARIES target...])
#
# Builds the cmocka program NAME from the sources and registers it with CTest. It is linked with the static
# library, so that internals can be tested, and may include "folder/header.h" of src/.
function(tarn_unit_test name)
    cmake_parse_arguments(PARSE_ARGV 1 arg "" "TIMEOUT" "LABELS;LIBRARIES")
    add_executable(${name} ${arg_UNPARSED_ARGUMENTS})
    target_include_directories(${name} PRIVATE "${PROJECT_SOURCE_DIR}/src")
    target_link_libraries(${name} PRIVATE tarn_flags tarn_static PkgConfig::CMOCKA ${arg_LIBRARIES})
    add_test(NAME ${name} COMMAND ${name})
    if(NOT arg_TIMEOUT)
        set(arg_TIMEOUT 120)
    endif()
    set_tests_properties(${name} PROPERTIES TIMEOUT ${arg_TIMEOUT} LABELS "unit;${arg_LABELS}")
endfunction()
