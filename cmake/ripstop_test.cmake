# SPDX-License-Identifier: Apache-2.0
#
# ripstop_test(NAME SOURCES… LIBS… [LABELS…])
# One GoogleTest binary, registered with CTest. Labels are the kinds of test
# that CONTRIBUTING.md names: unit (default), bpf, property, e2e.
function(ripstop_test name)
  cmake_parse_arguments(T "" "" "SOURCES;LIBS;LABELS" ${ARGN})
  if(NOT T_LABELS)
    set(T_LABELS unit)
  endif()
  add_executable(${name} ${T_SOURCES})
  target_link_libraries(${name} PRIVATE ${T_LIBS} GTest::gmock GTest::gtest GTest::gtest_main)
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
  # Tests name their constants as they like.
  set_target_properties(${name} PROPERTIES UNITY_BUILD OFF)
  add_test(NAME ${name} COMMAND ${name})
  # For hangs alone: no test is slow enough for it, however busy the machine is.
  set_tests_properties(${name} PROPERTIES LABELS "${T_LABELS}" TIMEOUT 1800)
  # Until CTest has seen how long each takes: those that take longest begin first.
  if(T_LABELS MATCHES "e2e|bpf")
    set_tests_properties(${name} PROPERTIES COST 100)
  endif()
endfunction()
