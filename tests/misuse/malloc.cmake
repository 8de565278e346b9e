# SPDX-License-Identifier: MIT
#
# Bugs in the use of malloc: one small program each, which has to die with the line that its source expects.

if(NOT TARGET tarn_malloc)
    return()
endif()

enable_language(CXX)
find_package(Threads REQUIRED)

file(GLOB malloc_misuse_sources CONFIGURE_DEPENDS "${CMAKE_CURRENT_SOURCE_DIR}/malloc_*.c"
     "${CMAKE_CURRENT_SOURCE_DIR}/malloc_*.cc")
foreach(source IN LISTS malloc_misuse_sources)
    cmake_path(GET source STEM name)
    add_executable(misuse_${name} ${source})
    # The compiler sees these bugs too, and would warn or take advantage of them.
    target_compile_options(misuse_${name} PRIVATE -fno-builtin -w)
    target_link_libraries(misuse_${name} PRIVATE tarn_flags Threads::Threads)
    # C23's names are not in every libc to link with.
    if(name MATCHES "free_.*sized")
        target_link_libraries(misuse_${name} PRIVATE tarn_malloc)
    endif()
    add_test(NAME misuse.${name} COMMAND "${CMAKE_CURRENT_SOURCE_DIR}/malloc_expect.sh" ${source}
                                         $<TARGET_FILE:tarn_malloc> $<TARGET_FILE:misuse_${name}>)
    set_tests_properties(misuse.${name} PROPERTIES LABELS misuse TIMEOUT 60)
endforeach()
