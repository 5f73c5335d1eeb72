// SPDX-License-Identifier: Apache-2.0
//
// What the kernel's numbers are called.
#ifndef RIPSTOP_AGENT_POLICY_KERNEL_WORDS_H_
#define RIPSTOP_AGENT_POLICY_KERNEL_WORDS_H_

#include <net/if.h>

#include <string>

#include "absl/strings/str_cat.h"

namespace ripstop::agent {

// "#7": one that has just gone, or is in another namespace.
inline std::string InterfaceName(uint32_t ifindex) {
  char name[IF_NAMESIZE] = {};
  return if_indextoname(ifindex, name) != nullptr ? name : absl::StrCat("#", ifindex);
}

}  // namespace ripstop::agent

#endif  // RIPSTOP_AGENT_POLICY_KERNEL_WORDS_H_
