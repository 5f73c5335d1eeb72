# SPDX-License-Identifier: Apache-2.0
#
# Fuzzers: libFuzzer with AddressSanitizer, so clang-19 compiles what they need once more,
# beside the build's own compiler. Abseil, protobuf and libyaml are the system's.
#
#   ripstop_fuzz_archive(NAME SOURCES… [DEPENDS generated headers…])
#   ripstop_fuzzer(NAME SOURCE harness.cc ARCHIVES… [LIBS flags…] CORPUS folder
#                  [DICTIONARY file] [OPTIONS …])
#
# Each fuzzer is a test of label fuzz that runs for RIPSTOP_FUZZ_SECONDS (5 when unset)
# from the corpus that is kept in the tree: ctest -L fuzz. It leaves the tree alone.
find_program(FUZZ_CLANG clang++-19 REQUIRED)
find_program(FUZZ_AR NAMES llvm-ar-19 ar REQUIRED)
pkg_check_modules(FUZZ_ABSL REQUIRED absl_status absl_statusor absl_strings absl_str_format absl_hash
  absl_raw_hash_set absl_time)
set(RIPSTOP_FUZZ_FLAGS -std=c++20 -O1 -gline-tables-only -fno-omit-frame-pointer -fsanitize=address -w
  -I${CMAKE_SOURCE_DIR} -I${CMAKE_BINARY_DIR})

function(ripstop_fuzz_object source object sanitize)
  cmake_parse_arguments(F "" "" "DEPENDS" ${ARGN})
  get_filename_component(dir ${object} DIRECTORY)
  file(MAKE_DIRECTORY ${dir})
  add_custom_command(
    OUTPUT ${object}
    COMMAND ${CMAKE_CXX_COMPILER_LAUNCHER} ${FUZZ_CLANG} ${RIPSTOP_FUZZ_FLAGS} -fsanitize=${sanitize} -MD -MF ${object}.d
            -MT ${object} -c ${source} -o ${object}
    DEPENDS ${source} ${F_DEPENDS}
    DEPFILE ${object}.d
    COMMENT "fuzz ${source}"
    VERBATIM)
endfunction()

function(ripstop_fuzz_archive name)
  cmake_parse_arguments(F "" "" "SOURCES;DEPENDS" ${ARGN})
  set(objects)
  foreach(source ${F_SOURCES})
    cmake_path(ABSOLUTE_PATH source NORMALIZE)
    string(REPLACE ${CMAKE_SOURCE_DIR}/ "" file ${source})
    string(REPLACE ${CMAKE_BINARY_DIR}/ "" file ${file})
    set(object ${CMAKE_CURRENT_BINARY_DIR}/${name}/${file}.o)
    ripstop_fuzz_object(${source} ${object} fuzzer-no-link DEPENDS ${F_DEPENDS})
    list(APPEND objects ${object})
  endforeach()
  set(archive ${CMAKE_CURRENT_BINARY_DIR}/lib${name}.a)
  add_custom_command(OUTPUT ${archive} COMMAND ${CMAKE_COMMAND} -E rm -f ${archive}
    COMMAND ${FUZZ_AR} rcs ${archive} ${objects} DEPENDS ${objects} VERBATIM)
  add_custom_target(${name} DEPENDS ${archive})
  set_target_properties(${name} PROPERTIES RIPSTOP_ARCHIVE ${archive})
endfunction()

function(ripstop_fuzzer name)
  cmake_parse_arguments(F "" "SOURCE;CORPUS;DICTIONARY" "ARCHIVES;LIBS;OPTIONS;DEPENDS" ${ARGN})
  set(object ${CMAKE_CURRENT_BINARY_DIR}/${name}.o)
  cmake_path(ABSOLUTE_PATH F_SOURCE NORMALIZE)
  cmake_path(ABSOLUTE_PATH F_CORPUS NORMALIZE)
  ripstop_fuzz_object(${F_SOURCE} ${object} fuzzer DEPENDS ${F_DEPENDS})
  set(archives)
  foreach(archive ${F_ARCHIVES})
    get_target_property(file ${archive} RIPSTOP_ARCHIVE)
    list(APPEND archives ${file})
  endforeach()
  set(binary ${CMAKE_BINARY_DIR}/tests/${name})
  file(MAKE_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
  add_custom_command(
    OUTPUT ${binary}
    COMMAND ${FUZZ_CLANG} -fsanitize=fuzzer,address ${object} ${archives} ${F_LIBS} ${FUZZ_ABSL_LDFLAGS}
            -o ${binary}
    DEPENDS ${object} ${archives}
    COMMENT "fuzzer ${name}"
    VERBATIM)
  add_custom_target(${name} DEPENDS ${binary})
  if(F_DICTIONARY)
    cmake_path(ABSOLUTE_PATH F_DICTIONARY NORMALIZE)
    list(APPEND F_OPTIONS -dict=${F_DICTIONARY})
  endif()
  list(JOIN F_OPTIONS " " options)
  # A GoogleTest case, so that results are counted as every other test's are.
  ripstop_test(${name}_test SOURCES ${CMAKE_SOURCE_DIR}/policy/fuzz/fuzz_run_test.cc LABELS fuzz)
  add_dependencies(${name}_test ${name})
  target_compile_definitions(${name}_test PRIVATE RIPSTOP_FUZZER="${binary}" RIPSTOP_FUZZ_SUITE=${name}
    RIPSTOP_FUZZ_CORPUS="${F_CORPUS}" RIPSTOP_FUZZ_OPTIONS="${options}")
endfunction()
