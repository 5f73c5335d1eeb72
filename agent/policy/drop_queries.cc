// SPDX-License-Identifier: Apache-2.0
#include "agent/policy/drop_queries.h"

#include <map>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "agent/policy/kernel_words.h"
#include "policy/status_macros.h"

namespace ripstop::agent {
namespace {

bool IsOf(const std::string& pod, const std::string& asked) {
  return pod == asked || absl::StartsWith(pod, asked + "/");
}

absl::Status CheckPod(const std::string& pod, const PolicyFeed& feed) {
  if (pod.find('/') == std::string::npos) {
    return absl::InvalidArgumentError(
        absl::StrCat("pod '", pod, "': want namespace/pod; for example shop/cart-1"));
  }
  if (!feed.Named(pod).empty()) return absl::OkStatus();
  return absl::NotFoundError(absl::StrCat(
      "pod '", pod, "': no such endpoint; `ripstopctl get workloadendpoints -A` lists them"));
}

void AddReason(const loader::DropCount& count, v1::DropsReply* reply) {
  v1::DropsReply::Reason* reason = reply->add_reasons();
  reason->set_name(count.name);
  reason->set_packets(count.packets);
  reason->set_bytes(count.bytes);
  reason->set_description(count.description);
  reason->set_expected(DROP_IS_EXPECTED(count.reason));
}

v1::DropsReply::Loss* AddLoss(const loader::DropCount& count, uint64_t packets, uint64_t bytes,
                              v1::DropsReply* reply) {
  v1::DropsReply::Loss* loss = reply->add_losses();
  loss->set_reason(count.name);
  loss->set_packets(packets);
  loss->set_bytes(bytes);
  loss->set_expected(DROP_IS_EXPECTED(count.reason));
  return loss;
}

const char* PlaceName(host_drop_place place) {
  switch (place) {
    case HOST_DROP_HERE: return "host";
    case HOST_DROP_ELSEWHERE: return "pod";
    case HOST_DROP_UNKNOWN: break;
  }
  return "unknown";
}

void AddHostDrops(const absl::StatusOr<std::vector<loader::HostDrop>>& drops,
                  v1::DropsReply* reply) {
  if (!drops.ok()) {
    reply->set_host_unavailable(std::string(drops.status().message()));
    return;
  }
  for (const loader::HostDrop& drop : *drops) {
    v1::DropsReply::HostReason* reason = reply->add_host_reasons();
    reason->set_name(drop.name);
    reason->set_where(PlaceName(drop.place));
    reason->set_packets(drop.packets);
    reason->set_bytes(drop.bytes);
    reason->set_description(drop.description);
  }
}

}  // namespace

absl::StatusOr<v1::DropsReply> Drops(const v1::DropsRequest& request, const PolicyPlane& policy,
                                     const DataplaneInterface& dataplane,
                                     const RecentDrops& recent) {
  const std::string& asked = request.pod();
  if (!asked.empty()) RETURN_IF_ERROR(CheckPod(asked, policy.feed()));
  // First those of interfaces: the totals that are read then are not less.
  ASSIGN_OR_RETURN(const auto by_interface, dataplane.InterfaceDrops());
  ASSIGN_OR_RETURN(std::vector<loader::DropCount> counts, dataplane.Drops());
  std::map<drop_reason, std::vector<loader::InterfaceDropCount>> by_reason;
  for (const loader::InterfaceDropCount& loss : by_interface) {
    by_reason[loss.reason].push_back(loss);
  }
  v1::DropsReply reply;
  for (loader::DropCount& count : counts) {
    uint64_t packets = 0, bytes = 0;
    for (const loader::InterfaceDropCount& loss : by_reason[count.reason]) {
      const std::string pod = policy.feed().NameAt(loss.ifindex);
      if (!asked.empty() && !IsOf(pod, asked)) continue;
      v1::DropsReply::Loss* added = AddLoss(count, loss.packets, loss.bytes, &reply);
      added->set_pod(pod);
      added->set_interface(InterfaceName(loss.ifindex));
      packets += loss.packets;
      bytes += loss.bytes;
    }
    if (!asked.empty()) {
      count.packets = packets;
      count.bytes = bytes;
    } else if (count.packets > packets) {
      AddLoss(count, count.packets - packets, count.bytes - std::min(bytes, count.bytes), &reply);
    }
    AddReason(count, &reply);
  }
  for (const v1::DropsReply::Sample& sample : recent.Newest()) {
    const bool of_asked = asked.empty() || IsOf(sample.pod(), asked) ||
                          IsOf(sample.event().source_name(), asked) ||
                          IsOf(sample.event().destination_name(), asked);
    if (of_asked) *reply.add_last() = sample;
  }
  // Not told apart by pod.
  if (asked.empty()) AddHostDrops(dataplane.HostDrops(), &reply);
  return reply;
}

}  // namespace ripstop::agent
