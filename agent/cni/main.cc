// SPDX-License-Identifier: Apache-2.0
//
// ripstop-cni: a runtime calls it once per pod event; it asks the node's agent.
#include <stdlib.h>
#include <unistd.h>

#include <iostream>
#include <iterator>

#include "agent/cni/plugin.h"

int main() {
  std::map<std::string, std::string> environment;
  for (const char* name : {"CNI_COMMAND", "CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME", "CNI_ARGS",
                           "CNI_PATH", "CNI_NETNS_OVERRIDE"}) {
    if (const char* value = getenv(name)) environment[name] = value;
  }
  std::string input;
  if (isatty(STDIN_FILENO) == 0) {
    input.assign(std::istreambuf_iterator<char>(std::cin), std::istreambuf_iterator<char>());
  }
  const ripstop::agent::PluginOutcome outcome = ripstop::agent::RunPlugin(environment, input);
  std::cout << outcome.out << std::flush;
  std::cerr << outcome.error << std::flush;
  return outcome.exit_code;
}
