# SPDX-License-Identifier: Apache-2.0
#
# ripstop_bpf_object(NAME) compiles bpf/NAME.bpf.c with clang-19 and turns the
# object into a skeleton header, bpf/NAME.skel.h, under the build folder.
# Target NAME_skel carries the header; linking it brings libbpf along. The
# compiler's depfile makes header edits rebuild the object. Nothing hides
# compiler output.
find_program(BPF_CLANG clang-19 REQUIRED)
find_program(BPFTOOL bpftool PATHS /usr/sbin REQUIRED)

function(ripstop_bpf_object name)
  set(source ${CMAKE_SOURCE_DIR}/bpf/${name}.bpf.c)
  set(dir ${CMAKE_BINARY_DIR}/bpf)
  set(object ${dir}/${name}.bpf.o)
  set(skeleton ${dir}/${name}.skel.h)
  file(MAKE_DIRECTORY ${dir})
  add_custom_command(
    OUTPUT ${object}
    COMMAND ${BPF_CLANG} -target bpf -mcpu=v3 -O2 -g -Wall -Wextra -Werror
            -Wno-unused-function -Wno-address-of-packed-member
            -D__TARGET_ARCH_x86 $<$<BOOL:${RIPSTOP_NEXT_LAYOUT}>:-DRIPSTOP_NEXT_LAYOUT>
            -I${CMAKE_SOURCE_DIR} -I/usr/include/x86_64-linux-gnu
            -MD -MF ${object}.d -MT ${object} -c ${source} -o ${object}
    DEPENDS ${source}
    DEPFILE ${object}.d
    COMMENT "BPF ${name}"
    COMMAND_EXPAND_LISTS VERBATIM)
  add_custom_command(
    OUTPUT ${skeleton}
    COMMAND sh -c "${BPFTOOL} gen skeleton ${object} name ${name} > ${skeleton}.tmp && mv ${skeleton}.tmp ${skeleton}"
    DEPENDS ${object}
    COMMENT "skeleton ${name}"
    VERBATIM)
  add_custom_target(${name}_skel_header DEPENDS ${skeleton})
  add_library(${name}_skel INTERFACE)
  add_dependencies(${name}_skel ${name}_skel_header)
  target_include_directories(${name}_skel INTERFACE ${CMAKE_BINARY_DIR})
  target_link_libraries(${name}_skel INTERFACE PkgConfig::LIBBPF)
endfunction()
