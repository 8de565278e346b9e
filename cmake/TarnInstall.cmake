# SPDX-License-Identifier: MIT
#
# What `cmake --install` puts where. Everything is found relative to where it lies, so the tree may be moved.

include(CMakePackageConfigHelpers)

set(tarn_package_dir "${CMAKE_INSTALL_LIBDIR}/cmake/Tarn")

install(TARGETS tarn_static EXPORT TarnTargets ARCHIVE DESTINATION "${CMAKE_INSTALL_LIBDIR}")
foreach(library tarn tarn_malloc tarn_malloc_dynamic)
    if(TARGET ${library})
        install(TARGETS ${library} EXPORT TarnTargets LIBRARY DESTINATION "${CMAKE_INSTALL_LIBDIR}")
    endif()
endforeach()
# The command's own, and nothing to link with.
if(TARGET tarn_record)
    install(TARGETS tarn_record LIBRARY DESTINATION "${CMAKE_INSTALL_LIBDIR}")
endif()
if(TARGET tarn_cli)
    install(TARGETS tarn_cli RUNTIME DESTINATION "${CMAKE_INSTALL_BINDIR}")
endif()
install(DIRECTORY "${PROJECT_SOURCE_DIR}/include/tarn" DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}" FILES_MATCHING
        PATTERN "*.h" PATTERN "*.hpp")
if(TARGET amalgamate)
    install(FILES ${tarn_amalgamation} DESTINATION "${CMAKE_INSTALL_DATADIR}/tarn")
endif()
install(FILES "${PROJECT_SOURCE_DIR}/LICENSE" DESTINATION "${CMAKE_INSTALL_DOCDIR}")

# find_package(Tarn). Until 1.0 a minor version may break what the one before promised.
install(EXPORT TarnTargets NAMESPACE Tarn:: DESTINATION "${tarn_package_dir}")
configure_package_config_file("${PROJECT_SOURCE_DIR}/cmake/TarnConfig.cmake.in" TarnConfig.cmake
                              INSTALL_DESTINATION "${tarn_package_dir}")
write_basic_package_version_file(TarnConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES "${CMAKE_CURRENT_BINARY_DIR}/TarnConfig.cmake" "${CMAKE_CURRENT_BINARY_DIR}/TarnConfigVersion.cmake"
        DESTINATION "${tarn_package_dir}")

# pkg-config tarn. The way from tarn.pc to the prefix depends on where the library directory is.
file(RELATIVE_PATH tarn_pc_to_prefix "/${CMAKE_INSTALL_LIBDIR}/pkgconfig" "/")
string(REGEX REPLACE "/$" "" tarn_pc_to_prefix "${tarn_pc_to_prefix}")
configure_file("${PROJECT_SOURCE_DIR}/cmake/tarn.pc.in" tarn.pc @ONLY)
install(FILES "${CMAKE_CURRENT_BINARY_DIR}/tarn.pc" DESTINATION "${CMAKE_INSTALL_LIBDIR}/pkgconfig")
