# SPDX-License-Identifier: Apache-2.0
#
# ripstop_use_archives(PATTERN): imported shared libraries whose name matches are linked from the
# archive that lies beside them, where there is one.
#
# Linking gRPC, protobuf and Abseil at each start took 50 libraries and 12 of the 15 ms that a
# command such as `ripstopctl version` costs. From archives a program has what it uses of them and
# starts in 3. The price: a fix of theirs comes with a build of ours.
function(ripstop_use_archives pattern)
  get_property(targets DIRECTORY ${CMAKE_SOURCE_DIR} PROPERTY IMPORTED_TARGETS)
  foreach(target IN LISTS targets)
    if(NOT target MATCHES "${pattern}")
      continue()
    endif()
    get_target_property(type ${target} TYPE)
    if(NOT type MATCHES "^(SHARED|UNKNOWN)_LIBRARY$")
      continue()
    endif()
    foreach(suffix "" _NONE _RELEASE)
      get_target_property(location ${target} IMPORTED_LOCATION${suffix})
      if(NOT location MATCHES "\\.so[.0-9]*$")
        continue()
      endif()
      string(REGEX REPLACE "\\.so[.0-9]*$" ".a" archive ${location})
      if(EXISTS ${archive})
        set_target_properties(${target} PROPERTIES IMPORTED_LOCATION${suffix} ${archive})
      endif()
    endforeach()
  endforeach()
endfunction()
