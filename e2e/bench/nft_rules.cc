// SPDX-License-Identifier: Apache-2.0
#include "e2e/bench/nft_rules.h"

#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <fstream>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "policy/status_macros.h"

namespace ripstop::bench {
namespace {

constexpr int kLoadLimitSeconds = 40;
constexpr int kTimedOut = 124;  // of timeout(1)
constexpr int kBatch = 64;

sockaddr_in At(const std::string& address, uint16_t port) {
  sockaddr_in at = {};
  at.sin_family = AF_INET;
  at.sin_port = htons(port);
  inet_pton(AF_INET, address.c_str(), &at.sin_addr);
  return at;
}

}  // namespace

std::string NftRuleset(const std::vector<NftRule>& rules, NftForm form, const std::string& hook,
                       const std::string& first, const std::string& protocol) {
  std::string text = "flush ruleset\ntable ip t {\n";
  if (form == NftForm::kMap) {
    absl::StrAppend(&text, " map m { type ipv4_addr . inet_service : verdict; elements = {\n");
    for (const NftRule& rule : rules) {
      for (const std::string& source : rule.sources) {
        absl::StrAppend(&text, "  ", source, " . ", rule.port, " : accept,\n");
      }
    }
    absl::StrAppend(&text, " } }\n");
  }
  absl::StrAppend(&text, " chain c { type filter hook ", hook, " priority 0; policy drop;\n",
                  first.empty() ? "" : "  ", first, "\n");
  if (form == NftForm::kMap) {
    absl::StrAppend(&text, "  ip saddr . ", protocol, " dport vmap @m\n");
  } else {
    for (const NftRule& rule : rules) {
      const bool one = rule.sources.size() == 1;
      absl::StrAppend(&text, "  ip saddr ", one ? "" : "{ ", absl::StrJoin(rule.sources, ", "),
                      one ? "" : " }");
      absl::StrAppend(&text, " ", protocol, " dport ", rule.port, " accept\n");
    }
  }
  absl::StrAppend(&text, " }\n}\n");
  return text;
}

absl::Status LoadNft(const agent::TestNetns& netns, const std::string& ruleset, int limit_seconds) {
  const std::string path = absl::StrCat("/tmp/ripstop-bench-", getpid(), ".nft");
  std::ofstream(path) << ruleset;
  const int rc = netns.Shell(absl::StrCat("timeout ", limit_seconds, " nft -f ", path));
  unlink(path.c_str());
  if (rc == kTimedOut) {
    return absl::DeadlineExceededError(absl::StrCat("nft -f not done in ", limit_seconds, " s"));
  }
  return rc == 0 ? absl::OkStatus() : absl::InternalError(absl::StrCat("nft -f: exit ", rc));
}

absl::Status FlushNft(const agent::TestNetns& netns) {
  const int rc = netns.Shell("nft flush ruleset");
  return rc == 0 ? absl::OkStatus() : absl::InternalError(absl::StrCat("nft flush: exit ", rc));
}

absl::StatusOr<std::unique_ptr<NftCost>> NftCost::Open() {
  ASSIGN_OR_RETURN(agent::TestNetns netns, agent::TestNetns::Create());
  const int rc = netns.Shell(
      "ip link set lo up && ip link add d0 type veth peer name d1 && ip link set d0 arp off up && "
      "ip route add 198.18.0.0/15 dev d0");
  if (rc != 0) return absl::InternalError(absl::StrCat("device without a peer: exit ", rc));
  return std::unique_ptr<NftCost>(new NftCost(std::move(netns)));
}

absl::StatusOr<double> NftCost::Send(const NftRule& as, int packets, int runs) const {
  double best = 0;
  const absl::Status status = netns_.Run([&]() -> absl::Status {
    const UniqueFd fd(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    const sockaddr_in from = At(as.sources.front(), 0), to = At("198.18.0.1", as.port);
    if (bind(fd.get(), reinterpret_cast<const sockaddr*>(&from), sizeof(from)) != 0 ||
        connect(fd.get(), reinterpret_cast<const sockaddr*>(&to), sizeof(to)) != 0) {
      return absl::ErrnoToStatus(errno, absl::StrCat("send from ", as.sources.front()));
    }
    char byte = 'x';
    iovec part = {&byte, 1};
    std::array<mmsghdr, kBatch> batch = {};
    for (mmsghdr& one : batch) one.msg_hdr = {.msg_iov = &part, .msg_iovlen = 1};
    for (int run = 0; run < runs; ++run) {
      const auto start = std::chrono::steady_clock::now();
      int sent = 0;
      while (sent < packets) {
        const int n = sendmmsg(fd.get(), batch.data(), std::min(kBatch, packets - sent), 0);
        // EPERM: the chain dropped it, so the ruleset is not what is asked for.
        if (n <= 0) return absl::ErrnoToStatus(errno, "send through the chain");
        sent += n;
      }
      const std::chrono::duration<double, std::nano> took =
          std::chrono::steady_clock::now() - start;
      const double each = took.count() / packets;
      if (run == 0 || each < best) best = each;
    }
    return absl::OkStatus();
  });
  if (!status.ok()) return status;
  return best;
}

absl::StatusOr<double> NftCost::Packet(const std::vector<NftRule>& rules, NftForm form) {
  constexpr int kPackets = 1024, kRuns = 61;
  const NftRule& last = rules.back();
  const std::string address = last.sources.front();
  if (netns_.Shell(absl::StrCat("ip addr replace ", address, "/32 dev d0")) != 0) {
    return absl::InternalError(absl::StrCat("address ", address));
  }
  ASSIGN_OR_RETURN(const double before, Send(last, kPackets, kRuns));
  RETURN_IF_ERROR(LoadNft(netns_, NftRuleset(rules, form, "output", "", "udp"), kLoadLimitSeconds));
  // Runs of about a millisecond, so that some of them meet nobody else on the processor.
  ASSIGN_OR_RETURN(const double about, Send(last, kBatch, 3));
  const int packets = std::clamp(static_cast<int>(1e6 / about), kBatch / 4, kPackets);
  ASSIGN_OR_RETURN(const double with, Send(last, packets, kRuns));
  RETURN_IF_ERROR(FlushNft(netns_));
  ASSIGN_OR_RETURN(const double after, Send(last, kPackets, kRuns));
  return std::max(0.0, with - std::min(before, after));
}

}  // namespace ripstop::bench
