// SPDX-License-Identifier: Apache-2.0
#ifndef RIPSTOP_AGENT_CNI_PLUGIN_H_
#define RIPSTOP_AGENT_CNI_PLUGIN_H_

#include <map>
#include <string>

#include "agent/cni/plugin_config.h"

namespace ripstop::agent {

struct PluginOutcome {
  int exit_code = 0;
  std::string out;    // standard output: the result, or the error (libcni reads it there)
  std::string error;  // standard error
};

// One call of the plugin: environment and standard input in, result out. Talks to the
// agent of this node; keeps nothing. Texts and codes are those of CNI's own skeleton
// (containernetworking/cni pkg/skel), which runtimes and people know.
PluginOutcome RunPlugin(const std::map<std::string, std::string>& environment,
                        const std::string& input);

// The result of an ADD in the form of `version` (0.3.0 to 1.1.0).
nlohmann::ordered_json ResultFor(const std::string& version,
                                 const ripstop::agent::v1::CniAddReply& reply,
                                 const std::string& interface, const std::string& netns,
                                 const nlohmann::json& dns);

}  // namespace ripstop::agent

#endif  // RIPSTOP_AGENT_CNI_PLUGIN_H_
