# SPDX-License-Identifier: Apache-2.0
# What `cmake --install` puts where: programs, libcenote, its headers, pages, and what finds it
# (pkg-config, CMake). The result may be moved: nothing in it knows the prefix.
include(CMakePackageConfigHelpers)

set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/cenote)
set(pkgconfig_dir ${CMAKE_INSTALL_LIBDIR}/pkgconfig)

install(TARGETS cenoted cenote_cli cenote-bench RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
install(TARGETS cenote EXPORT cenote-shared LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(TARGETS cenote_static EXPORT cenote-static ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(DIRECTORY include/cenote DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(FILES deploy/cenoted.conf DESTINATION ${CMAKE_INSTALL_DATADIR}/cenote)
foreach(section 1 3 5 7 8)
  file(GLOB pages CONFIGURE_DEPENDS doc/man/*.${section})
  install(FILES ${pages} DESTINATION ${CMAKE_INSTALL_MANDIR}/man${section})
endforeach()

# Two sets: who links the shared library needs nothing of what libcenote itself is made with.
foreach(set shared static)
  install(EXPORT cenote-${set} NAMESPACE cenote:: DESTINATION ${package_dir})
endforeach()
configure_package_config_file(deploy/cmake/cenote-config.cmake.in cenote-config.cmake
                              INSTALL_DESTINATION ${package_dir}
                              NO_SET_AND_CHECK_MACRO NO_CHECK_REQUIRED_COMPONENTS_MACRO)
# Before 1.0 a minor version may change the interface.
write_basic_package_version_file(cenote-config-version.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/cenote-config.cmake
              ${PROJECT_BINARY_DIR}/cenote-config-version.cmake DESTINATION ${package_dir})

file(RELATIVE_PATH prefix_from_pc /${pkgconfig_dir} /)
string(REGEX REPLACE "/$" "" prefix_from_pc ${prefix_from_pc})
# No Requires.private: pkg-config would want their development packages of everybody.
set(private_libs ${MSGPACK_LDFLAGS} ${SODIUM_LDFLAGS} ${XXHASH_LDFLAGS} -pthread)
list(REMOVE_DUPLICATES private_libs)
list(JOIN private_libs " " private_libs)
configure_file(deploy/cmake/cenote.pc.in cenote.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/cenote.pc DESTINATION ${pkgconfig_dir})
