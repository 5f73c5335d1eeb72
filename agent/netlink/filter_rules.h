// SPDX-License-Identifier: Apache-2.0
//
// The filter rules of a network namespace, as nftables' machine runs them: a rule is steps that
// load fields of a packet into registers and compare them, and end in a verdict. iptables in its
// nft form is among them, with matches of its own that are opaque to nftables.
#ifndef RIPSTOP_AGENT_NETLINK_FILTER_RULES_H_
#define RIPSTOP_AGENT_NETLINK_FILTER_RULES_H_

#include <compare>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace ripstop::agent {

// Bytes of nftables' register file, in which every register is a place.
inline constexpr uint32_t kRegisterBytes = 64;

enum class RuleVerdict {
  kNone,  // goes on with the next rule
  kAccept,
  kDrop,
  kReject,
  kReturn,
  kJump,
  kGoto,
  kElsewhere,  // to a process, another interface: what becomes of it is not the rules' to say
};

struct RuleEnd {
  RuleVerdict verdict = RuleVerdict::kNone;
  std::string chain;  // of kJump, kGoto
};

struct RuleStep {
  enum Kind {
    kUnknown,        // may match or not, and leaves anything in the registers
    kNever,          // matches nothing: an extension header that the first packets do not have
    kMeta,           // loads: `key` is NFT_META_*
    kConntrack,      // loads: NFT_CT_*
    kFib,            // loads: NFT_FIB_RESULT_*, of `flags` NFTA_FIB_F_*
    kPayload,        // loads: NFT_PAYLOAD_*, from `offset`
    kConstant,       // loads `data`
    kMask,           // (from & data) ^ data2
    kCompare,        // with data: NFT_CMP_*
    kRange,          // from data to data2: NFT_RANGE_*
    kLookup,         // in `set`; `flags` 1: not in it
    kXtStates,       // xt conntrack that asks for states alone: `data` is its mask, `flags` 1: not
    kXtPorts,        // xt tcp, udp: first source, last, first destination, last, in host order
    kXtAddressType,  // xt addrtype of the destination alone: `key` is a mask, `flags` 1: not
    kNoTrack,        // matches always, and the packet's connection is not known from here on
    kEnd,
  };
  Kind kind = kUnknown;
  uint32_t key = 0, flags = 0, offset = 0;
  uint32_t from = 0, to = 0;  // bytes into the register file
  uint32_t length = 0;
  std::vector<uint8_t> data, data2;
  std::vector<uint16_t> ports;
  std::string set;
  bool ends = false;  // kLookup: its elements are verdicts
  RuleEnd end;
};

struct FilterRule {
  uint64_t handle = 0;
  std::vector<RuleStep> steps;
};

// As the kernel orders keys.
int CompareBytes(const std::vector<uint8_t>& a, const std::vector<uint8_t>& b);

struct RuleSet {
  struct Element {
    std::vector<uint8_t> key, data;
    bool interval_end = false;
    bool catch_all = false;
    RuleEnd end;
  };
  bool intervals = false;
  bool readable = true;           // false: too large, or of ranges in several dimensions
  std::vector<Element> elements;  // by key
};

struct FilterTable {
  uint8_t family = 0;  // NFPROTO_*
  std::string name;
  auto operator<=>(const FilterTable&) const = default;
};
// "nftables ip filter"
std::string NameOf(const FilterTable& table);

struct FilterChain {
  std::vector<FilterRule> rules;
  // Of base chains of type filter; those of others are not read.
  bool base = false;
  uint32_t hook = 0;  // NF_INET_*
  int32_t priority = 0;
  bool drops = false;  // its policy
};

struct FilterRules {
  struct Table {
    std::map<std::string, FilterChain> chains;  // base chains, and what is reached from them
    std::map<std::string, RuleSet> sets;        // that their rules look in
  };
  std::map<FilterTable, Table> tables;
};

// Of the calling thread's namespace, IPv4 and IPv6. Reads what base chains of type filter reach
// and nothing else, since kube-proxy's other chains are thousands: some microseconds for each
// rule. Waits for the kernel: not for a loop.
//
// Asks `stop` before each query and is then kCancelled.
absl::StatusOr<FilterRules> ReadFilterRules(const std::function<bool()>& stop = {});

// Rules that are there and that ReadFilterRules leaves out: "iptables-legacy filter". Nothing
// tells of a change: two small files are read.
std::vector<std::string> UnreadFilterRules();

// Moves with every change of nftables' rules in the calling thread's namespace; 0 without
// nftables. Of iptables-legacy nothing tells.
absl::StatusOr<uint32_t> FilterGeneration();

}  // namespace ripstop::agent

#endif  // RIPSTOP_AGENT_NETLINK_FILTER_RULES_H_
