# SPDX-License-Identifier: Apache-2.0
#
# ripstop_precompile(): one precompiled header for all C++ of the tree and one more for tests, since
# half of what the compiler reads is the same few headers everywhere. Call it when all targets are
# there. Sources include what they use all the same: with CMAKE_DISABLE_PRECOMPILE_HEADERS
# nothing is precompiled.
function(ripstop_targets_below dir ret)
  get_directory_property(targets DIRECTORY ${dir} BUILDSYSTEM_TARGETS)
  get_directory_property(below DIRECTORY ${dir} SUBDIRECTORIES)
  foreach(child ${below})
    ripstop_targets_below(${child} more)
    list(APPEND targets ${more})
  endforeach()
  set(${ret} ${targets} PARENT_SCOPE)
endfunction()

function(ripstop_precompile)
  set(headers <algorithm> <array> <chrono> <cstdint> <cstring> <functional> <map> <memory> <optional>
    <set> <string> <string_view> <utility> <variant> <vector>
    <absl/container/flat_hash_map.h> <absl/container/flat_hash_set.h> <absl/status/statusor.h>
    <absl/strings/match.h> <absl/strings/str_cat.h> <absl/strings/str_join.h>
    <absl/strings/str_split.h> <absl/time/time.h>)
  ripstop_targets_below(${CMAKE_SOURCE_DIR} targets)
  file(WRITE ${CMAKE_BINARY_DIR}/precompiled.cc "")
  foreach(name precompiled precompiled_test)
    add_library(${name} OBJECT EXCLUDE_FROM_ALL ${CMAKE_BINARY_DIR}/precompiled.cc)
  endforeach()
  target_precompile_headers(precompiled PRIVATE ${headers})
  target_precompile_headers(precompiled_test PRIVATE ${headers} <gmock/gmock.h> <gtest/gtest.h>)
  target_link_libraries(precompiled_test PRIVATE GTest::gmock GTest::gtest)
  foreach(target ${targets})
    get_target_property(type ${target} TYPE)
    if(NOT type MATCHES "EXECUTABLE|LIBRARY" OR type STREQUAL "INTERFACE_LIBRARY")
      continue()
    endif()
    get_target_property(sources ${target} SOURCES)
    get_target_property(linked ${target} LINK_LIBRARIES)
    if(linked MATCHES "GTest::gtest_main")
      target_precompile_headers(${target} REUSE_FROM precompiled_test)
    elseif(sources MATCHES "\\.cc")
      target_precompile_headers(${target} REUSE_FROM precompiled)
    endif()
  endforeach()
endfunction()
