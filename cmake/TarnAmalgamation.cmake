# SPDX-License-Identifier: MIT
#
# The target `amalgamate`: the pair tarn-region.h and tarn-region.c, for projects without a libc, in amalgamation/ of the
# build folder.

find_package(Python3 QUIET COMPONENTS Interpreter)
if(NOT Python3_FOUND)
    message(STATUS "tarn-region.h and tarn-region.c are left out: tools/amalgamate needs Python 3.")
    return()
endif()

set(tarn_amalgamation_dir "${PROJECT_BINARY_DIR}/amalgamation")
set(tarn_amalgamation "${tarn_amalgamation_dir}/tarn-region.h" "${tarn_amalgamation_dir}/tarn-region.c")
add_custom_command(
    OUTPUT ${tarn_amalgamation}
    COMMAND "${Python3_EXECUTABLE}" "${PROJECT_SOURCE_DIR}/tools/amalgamate" "${tarn_amalgamation_dir}"
            "${PROJECT_BINARY_DIR}/amalgamation.d"
    DEPENDS "${PROJECT_SOURCE_DIR}/tools/amalgamate" "${PROJECT_SOURCE_DIR}/src/freestanding.txt"
    DEPFILE "${PROJECT_BINARY_DIR}/amalgamation.d"
    COMMENT "Making one pair of files of the regions"
    VERBATIM)
add_custom_target(amalgamate ALL DEPENDS ${tarn_amalgamation})
