// SPDX-License-Identifier: Apache-2.0
//
// CNI's network configuration: no document of a store, but what a user writes all the same.
// agent/cni/config_fields.cc judges it; its test compares the two.
#include "api/fields/rows.h"

namespace ripstop::api {
namespace {

constexpr char kPools[] = "addresses come from the IPPools, whatever plugin it names";

constexpr Row kCniConfiguration[] = {
    {"cniVersion"},
    {"cniVersions"},
    {"name"},
    {"type"},
    {"capabilities"},
    {"disableCheck"},
    {"disableGC"},
    {"loadOnlyInlinedPlugins"},
    {"prevResult"},
    {"dns"},
    {"socket", kActs, "the agent's"},
    {"connectTimeoutMs"},
    {"mtu"},
    {"labels", kActs, "of pods that no store knows"},
    {"serviceAccount", kActs, "likewise"},
    {"ports", kActs, "likewise"},
    {"runtimeConfig.ips"},
    {"runtimeConfig.mac"},
    {"runtimeConfig.io.kubernetes.cri.pod-annotations"},
    {"runtimeConfig.bandwidth", kKept, "chain the bandwidth plugin, and give it the capability"},
    {"runtimeConfig.portMappings", kKept, "chain the portmap plugin, and give it the capability"},
    {"ipam", kKept, kPools},
    {"args", kKept},
    {"policy", kKept},
    {"kubernetes", kKept},
    {"datastore_type", kKept},
    {"nodename", kKept},
    {"log_level", kKept},
    {"log_file_path", kKept},
    {"container_settings", kKept},
    {"feature_control", kKept},
};

}  // namespace

std::vector<Kind> CniKinds() {
  return {{.api_version = "CNI 1.1.0",
           .kind = "network configuration",
           .why = "the plugin asks the agent, which reads the store; an ADD names it on standard "
                  "error",
           .rows = {kCniConfiguration},
           .metadata = false}};
}

}  // namespace ripstop::api
