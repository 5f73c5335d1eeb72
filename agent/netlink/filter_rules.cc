// SPDX-License-Identifier: Apache-2.0
#include "agent/netlink/filter_rules.h"

#include <arpa/inet.h>
#include <endian.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>

#include <algorithm>
#include <cstring>
#include <fstream>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "agent/netlink/rule_steps.h"
#include "agent/netlink/socket.h"
#include "policy/status_macros.h"

namespace ripstop::agent {
namespace {

// Larger sets than this are somebody's lists of addresses; whether ours are in it stays open.
constexpr size_t kElementsMax = 65'536;

constexpr uint16_t Type(uint16_t message) {
  return static_cast<uint16_t>(NFNL_SUBSYS_NFTABLES << 8 | message);
}

uint8_t FamilyOf(const nlmsghdr* message) {
  return static_cast<const nfgenmsg*>(mnl_nlmsg_get_payload(message))->nfgen_family;
}

bool IsInternet(uint8_t family) {
  return family == NFPROTO_IPV4 || family == NFPROTO_IPV6 || family == NFPROTO_INET;
}

bool Lacking(const absl::Status& status) {
  return absl::IsInvalidArgument(status) || absl::IsUnimplemented(status);
}

class Reader {
 public:
  Reader(NetlinkSocket socket, const std::function<bool()>& stop)
      : socket_(std::move(socket)), stop_(stop) {}

  absl::StatusOr<FilterRules> Read() {
    RETURN_IF_ERROR(ReadChains());
    for (auto& [table, content] : rules_.tables) RETURN_IF_ERROR(ReadReached(table, content));
    return std::move(rules_);
  }

 private:
  absl::Status ReadChains();
  absl::StatusOr<std::set<FilterTable>> DormantTables();
  absl::Status ReadReached(const FilterTable& table, FilterRules::Table& content);
  absl::StatusOr<std::vector<FilterRule>> ReadRules(const FilterTable& table,
                                                    const std::string& chain);
  absl::StatusOr<RuleSet> ReadSet(const FilterTable& table, const std::string& name);
  absl::Status ReadElements(const FilterTable& table, const std::string& name, RuleSet& set);
  static NetlinkRequest About(const FilterTable& table, uint16_t message, uint16_t flags,
                              const std::string& what) {
    NetlinkRequest request(Type(message), flags, absl::StrCat(NameOf(table), ": ", what));
    request.Fixed<nfgenmsg>()->nfgen_family = table.family;
    return request;
  }

  absl::Status Going() const {
    return stop_ && stop_() ? absl::CancelledError("reading of nftables' rules is called off")
                            : absl::OkStatus();
  }

  NetlinkSocket socket_;
  const std::function<bool()>& stop_;
  FilterRules rules_;
};

// Their chains are there and act on nothing.
absl::StatusOr<std::set<FilterTable>> Reader::DormantTables() {
  std::set<FilterTable> dormant;
  NetlinkRequest request(Type(NFT_MSG_GETTABLE), NLM_F_DUMP, "list nftables tables");
  request.Fixed<nfgenmsg>()->nfgen_family = NFPROTO_UNSPEC;
  RETURN_IF_ERROR(socket_.Query(
      request, [&] { dormant.clear(); },
      [&](const nlmsghdr* message) {
        const Attributes table(message, sizeof(nfgenmsg));
        if ((ntohl(table.U32(NFTA_TABLE_FLAGS)) & NFT_TABLE_F_DORMANT) != 0)
          dormant.insert({FamilyOf(message), table.String(NFTA_TABLE_NAME)});
      }));
  return dormant;
}

absl::Status Reader::ReadChains() {
  ASSIGN_OR_RETURN(const std::set<FilterTable> dormant, DormantTables());
  NetlinkRequest request(Type(NFT_MSG_GETCHAIN), NLM_F_DUMP, "list nftables chains");
  request.Fixed<nfgenmsg>()->nfgen_family = NFPROTO_UNSPEC;
  return socket_.Query(
      request, [&] { rules_.tables.clear(); },
      [&](const nlmsghdr* message) {
        const Attributes chain(message, sizeof(nfgenmsg));
        if (chain[NFTA_CHAIN_HOOK] == nullptr || chain.String(NFTA_CHAIN_TYPE) != "filter" ||
            !IsInternet(FamilyOf(message)))
          return;
        const FilterTable table{FamilyOf(message), chain.String(NFTA_CHAIN_TABLE)};
        if (dormant.contains(table)) return;
        const Attributes hook(chain[NFTA_CHAIN_HOOK]);
        FilterChain& base = rules_.tables[table].chains[chain.String(NFTA_CHAIN_NAME)];
        base.base = true;
        base.hook = ntohl(hook.U32(NFTA_HOOK_HOOKNUM));
        base.priority = static_cast<int32_t>(ntohl(hook.U32(NFTA_HOOK_PRIORITY)));
        base.drops = ntohl(chain.U32(NFTA_CHAIN_POLICY, htonl(NF_ACCEPT))) == NF_DROP;
      });
}

absl::StatusOr<std::vector<FilterRule>> Reader::ReadRules(const FilterTable& table,
                                                          const std::string& chain) {
  NetlinkRequest request = About(table, NFT_MSG_GETRULE, NLM_F_DUMP, "rules of " + chain);
  request.PutString(NFTA_RULE_TABLE, table.name);
  request.PutString(NFTA_RULE_CHAIN, chain);
  std::vector<FilterRule> rules;
  RETURN_IF_ERROR(socket_.Query(
      request, [&] { rules.clear(); },
      [&](const nlmsghdr* message) {
        const Attributes rule(message, sizeof(nfgenmsg));
        FilterRule read;
        if (const nlattr* handle = rule[NFTA_RULE_HANDLE]; handle != nullptr)
          read.handle = be64toh(mnl_attr_get_u64(handle));
        read.steps = StepsOf(rule[NFTA_RULE_EXPRESSIONS]);
        rules.push_back(std::move(read));
      }));
  return rules;
}

absl::Status Reader::ReadElements(const FilterTable& table, const std::string& name, RuleSet& set) {
  NetlinkRequest request = About(table, NFT_MSG_GETSETELEM, NLM_F_DUMP, "elements of " + name);
  request.PutString(NFTA_SET_ELEM_LIST_TABLE, table.name);
  request.PutString(NFTA_SET_ELEM_LIST_SET, name);
  RETURN_IF_ERROR(socket_.Query(
      request, [&] { set.elements.clear(); },
      [&](const nlmsghdr* message) {
        const Attributes list(message, sizeof(nfgenmsg));
        EachNested(list[NFTA_SET_ELEM_LIST_ELEMENTS], [&](const nlattr* nest) {
          if (set.elements.size() > kElementsMax) return;
          const Attributes one(nest);
          const uint32_t flags = ntohl(one.U32(NFTA_SET_ELEM_FLAGS));
          RuleSet::Element element;
          element.key = DataValue(one[NFTA_SET_ELEM_KEY]);
          element.interval_end = (flags & NFT_SET_ELEM_INTERVAL_END) != 0;
          element.catch_all = (flags & NFT_SET_ELEM_CATCHALL) != 0;
          if (one[NFTA_SET_ELEM_DATA] != nullptr)
            element.end = EndOf(Attributes(one[NFTA_SET_ELEM_DATA])[NFTA_DATA_VERDICT]);
          if (one[NFTA_SET_ELEM_KEY_END] != nullptr) set.readable = false;
          set.elements.push_back(std::move(element));
        });
      }));
  std::sort(set.elements.begin(), set.elements.end(), [](const auto& a, const auto& b) {
    // Where one interval ends and the next begins, what begins counts.
    const int order = CompareBytes(a.key, b.key);
    return order != 0 ? order < 0 : a.interval_end && !b.interval_end;
  });
  if (set.elements.size() <= kElementsMax) return absl::OkStatus();
  set.elements.clear();
  set.readable = false;
  return absl::OkStatus();
}

absl::StatusOr<RuleSet> Reader::ReadSet(const FilterTable& table, const std::string& name) {
  NetlinkRequest request = About(table, NFT_MSG_GETSET, 0, "set " + name);
  request.PutString(NFTA_SET_TABLE, table.name);
  request.PutString(NFTA_SET_NAME, name);
  RuleSet set;
  RETURN_IF_ERROR(socket_.Query(
      request, [] {},
      [&](const nlmsghdr* message) {
        const Attributes attributes(message, sizeof(nfgenmsg));
        set.intervals = (ntohl(attributes.U32(NFTA_SET_FLAGS)) & NFT_SET_INTERVAL) != 0;
      }));
  RETURN_IF_ERROR(ReadElements(table, name, set));
  return set;
}

// Chains and sets that are gone by now are left out: what comes after this has another generation.
absl::Status Reader::ReadReached(const FilterTable& table, FilterRules::Table& content) {
  std::vector<std::string> waiting;
  for (const auto& [name, chain] : content.chains) waiting.push_back(name);
  std::set<std::string> seen(waiting.begin(), waiting.end());
  const auto reach = [&](const RuleEnd& end) {
    if (!end.chain.empty() && seen.insert(end.chain).second) waiting.push_back(end.chain);
  };
  while (!waiting.empty()) {
    const std::string name = std::move(waiting.back());
    waiting.pop_back();
    RETURN_IF_ERROR(Going());
    auto rules = ReadRules(table, name);
    if (absl::IsNotFound(rules.status())) continue;
    RETURN_IF_ERROR(rules.status());
    for (const FilterRule& rule : *rules) {
      for (const RuleStep& step : rule.steps) {
        reach(step.end);
        if (step.kind != RuleStep::kLookup || content.sets.contains(step.set)) continue;
        RETURN_IF_ERROR(Going());
        auto set = ReadSet(table, step.set);
        if (absl::IsNotFound(set.status())) continue;
        RETURN_IF_ERROR(set.status());
        for (const RuleSet::Element& element : set->elements) reach(element.end);
        content.sets.emplace(step.set, *std::move(set));
      }
    }
    content.chains[name].rules = *std::move(rules);
  }
  return absl::OkStatus();
}

}  // namespace

std::vector<std::string> UnreadFilterRules() {
  std::vector<std::string> found;
  for (const char* program : {"ip", "ip6"}) {
    std::ifstream names(absl::StrCat("/proc/thread-self/net/", program, "_tables_names"));
    for (std::string table; std::getline(names, table);) {
      if (table == "filter") found.push_back(absl::StrCat(program, "tables-legacy filter"));
    }
  }
  return found;
}

std::string NameOf(const FilterTable& table) {
  const char* family = table.family == NFPROTO_IPV4   ? "ip"
                       : table.family == NFPROTO_IPV6 ? "ip6"
                                                      : "inet";
  return absl::StrCat("nftables ", family, " ", table.name);
}

int CompareBytes(const std::vector<uint8_t>& a, const std::vector<uint8_t>& b) {
  const size_t common = std::min(a.size(), b.size());
  const int order = common == 0 ? 0 : std::memcmp(a.data(), b.data(), common);
  if (order != 0 || a.size() == b.size()) return order;
  return a.size() < b.size() ? -1 : 1;
}

absl::StatusOr<FilterRules> ReadFilterRules(const std::function<bool()>& stop) {
  auto socket = NetlinkSocket::Open(-1, NETLINK_NETFILTER);
  absl::StatusOr<FilterRules> rules = FilterRules();  // a kernel without nftables
  if (socket.ok()) rules = Reader(*std::move(socket), stop).Read();
  if (Lacking(rules.status())) rules = FilterRules();
  return rules;
}

absl::StatusOr<uint32_t> FilterGeneration() {
  auto socket = NetlinkSocket::Open(-1, NETLINK_NETFILTER);
  if (!socket.ok()) return 0;
  NetlinkRequest request(Type(NFT_MSG_GETGEN), 0, "ask for nftables' generation");
  request.Fixed<nfgenmsg>()->nfgen_family = NFPROTO_UNSPEC;
  uint32_t generation = 0;
  const absl::Status status = socket->Query(
      request, [] {},
      [&](const nlmsghdr* message) {
        generation = ntohl(Attributes(message, sizeof(nfgenmsg)).U32(NFTA_GEN_ID));
      });
  if (Lacking(status)) return 0;
  RETURN_IF_ERROR(status);
  return generation;
}

}  // namespace ripstop::agent
