// SPDX-License-Identifier: Apache-2.0
#include "e2e/bench/measure.h"

#include <algorithm>
#include <functional>
#include <map>
#include <vector>

#include "absl/strings/str_cat.h"
#include "e2e/bench/compiled.h"
#include "e2e/bench/isolated.h"
#include "e2e/bench/map_memory.h"
#include "e2e/bench/nft_rules.h"
#include "e2e/bench/straight_line.h"
#include "policy/status_macros.h"

namespace ripstop::bench {
namespace {

constexpr double kMib = 1 << 20;

policy::World WorldOf(const std::string& family, int rules) {
  if (family == "selectors") return SelectorLike(rules);
  if (family == "hosts") return HostsLike(rules);
  if (family == "cidrs" || family == "cidrs-v6") return CidrLike(rules, family == "cidrs", 1);
  for (const FilterFamily f :
       {FilterFamily::kAcl, FilterFamily::kFirewall, FilterFamily::kIpChain}) {
    if (family == ToString(f)) return FilterLike(f, rules, 1);
  }
  return FilterLike(FilterFamily::kPathological, rules, 1);
}

absl::StatusOr<Compiled> OneRule(const std::string& family) {
  const policy::World world = WorldOf(family, 1);
  ASSIGN_OR_RETURN(Compiled made, OpenCompiled());
  Row ignored;
  RETURN_IF_ERROR(Compile(world, made, ignored));
  RETURN_IF_ERROR(FindDeepest(world, made, ignored));
  if (made.packets.empty()) {
    return absl::InternalError(absl::StrCat(family, ": one rule allows nothing"));
  }
  return made;
}

absl::Status TimeStraightLine(const policy::World& world, Compiled& made, Row& row) {
  std::map<std::string, std::vector<policy::Address>> members;
  const auto& rules = world.policies.begin()->second.ingress_rules;
  for (const auto& [id, endpoint] : world.endpoints) {
    const auto app = endpoint.labels.find("app");
    if (app == endpoint.labels.end()) continue;
    auto& list = members[absl::StrCat("app == '", app->second, "'")];
    list.insert(list.end(), endpoint.addresses.begin(), endpoint.addresses.end());
  }
  const auto line = StraightLine::Load(rules, members);
  if (!line.ok()) {
    row.Note(absl::StrCat("straight line: ", std::string(line.status().message())));
    return absl::OkStatus();
  }
  ASSIGN_OR_RETURN(const int decided, (*line)->Decide(made.packets[0]));
  if (decided != row.rule) {
    return absl::InternalError(
        absl::StrCat("straight line decides by rule ", decided, ", the tables by rule ", row.rule));
  }
  ASSIGN_OR_RETURN(const Timing timing, made.kernel->Program((*line)->program(), made.packets[0]));
  row.straight_ns = timing.best;
  return absl::OkStatus();
}

absl::Status TimeNft(const policy::World& world, Row& row) {
  std::vector<NftRule> rules;
  const auto& model = world.policies.begin()->second.ingress_rules;
  for (size_t i = 0; i < model.size(); ++i) {
    NftRule rule = {{PacketForRule(world, i).source.ToString()},
                    model[i].destination.ports->ranges.front().first};
    if (model[i].source.selector) {  // two pods each
      const auto pod = world.endpoints.find(absl::StrCat("remote/pod-", 2 * i + 1));
      rule.sources.push_back(pod->second.addresses.front().ToString());
    }
    rules.push_back(std::move(rule));
  }
  ASSIGN_OR_RETURN(const auto cost, NftCost::Open());
  for (const NftForm form : {NftForm::kRules, NftForm::kMap}) {
    const absl::StatusOr<double> ns = cost->Packet(rules, form);
    if (!ns.ok()) {
      row.Note(absl::StrCat(form == NftForm::kMap ? "nft map: " : "nft rules: ",
                            std::string(ns.status().message())));
    } else {
      (form == NftForm::kMap ? row.nft_map_ns : row.nft_rules_ns) = *ns;
    }
  }
  return absl::OkStatus();
}

// Fills the memory that `made` has taken since `agent` and `maps` bytes were in use.
absl::Status FillMemory(const Compiled& made, uint64_t agent, uint64_t maps, Row& row) {
  ASSIGN_OR_RETURN(const uint64_t maps_now, MapBytes(made.kernel->evaluator().object()));
  row.map_mib = (static_cast<double>(maps_now) - static_cast<double>(maps)) / kMib;
  row.agent_mib = (static_cast<double>(PrivateBytes()) - static_cast<double>(agent)) / kMib;
  return absl::OkStatus();
}

absl::Status Rules(const std::string& family, const MeasureOptions& options, Row& row) {
  const policy::World world = WorldOf(family, row.size);
  ASSIGN_OR_RETURN(Compiled one, OneRule(family));
  ASSIGN_OR_RETURN(Compiled made, OpenCompiled());
  const uint64_t agent = PrivateBytes();
  ASSIGN_OR_RETURN(const uint64_t maps, MapBytes(made.kernel->evaluator().object()));
  RETURN_IF_ERROR(Compile(world, made, row));
  RETURN_IF_ERROR(FillMemory(made, agent, maps, row));
  RETURN_IF_ERROR(FindDeepest(world, made, row));
  if (!made.packets.empty()) {
    RETURN_IF_ERROR(TimeBoth(made, one, row));
    // The generated programs know IPv4 only.
    if (options.straight_line && made.packets[0].source.is_v4())
      RETURN_IF_ERROR(TimeStraightLine(world, made, row));
  }
  return absl::OkStatus();
}

absl::Status Cluster(const KubernetesShape& shape, Row& row) {
  ASSIGN_OR_RETURN(Compiled one, OneRule("selectors"));
  ASSIGN_OR_RETURN(Compiled made, OpenCompiled());
  const uint64_t agent = PrivateBytes();
  ASSIGN_OR_RETURN(const uint64_t maps, MapBytes(made.kernel->evaluator().object()));
  std::vector<policy::Address> local, remote;
  {
    const policy::World world = KubernetesLike(shape);
    RETURN_IF_ERROR(Compile(world, made, row));
    for (const auto& [id, endpoint] : world.endpoints) {
      if (endpoint.local) local.push_back(endpoint.addresses.front());
      if (!endpoint.local && remote.size() < 200) remote.push_back(endpoint.addresses.front());
    }
  }
  RETURN_IF_ERROR(FillMemory(made, agent, maps, row));
  RETURN_IF_ERROR(FindPairs(local, remote, 5, made, row));
  return made.packets.empty() ? absl::OkStatus() : TimeBoth(made, one, row);
}

Row InProcessOfItsOwn(int size, double limit, const std::function<absl::Status(Row&)>& measure) {
  const absl::StatusOr<Row> measured = Isolated<Row>(limit, [&](Row& row) {
    row = Row{};
    row.size = size;
    return measure(row);
  });
  if (measured.ok()) return *measured;
  Row row;
  row.size = size;
  row.Note(measured.status().ToString());
  return row;
}

}  // namespace

Row MeasureRules(const std::string& family, int rules, const MeasureOptions& options) {
  if (family == "kubernetes") {
    return MeasureCluster(
        {.endpoints = std::clamp(rules, 200, 10000), .policies = std::max(1, rules / 2)}, rules,
        options);
  }
  Row row = InProcessOfItsOwn(rules, options.limit_seconds,
                              [&](Row& filled) { return Rules(family, options, filled); });
  if (options.nft && (family == "hosts" || family == "selectors")) {
    // By itself: it takes long where the list is long, and the rest need not wait for it.
    const Row nft = InProcessOfItsOwn(rules, 3 * options.limit_seconds, [&](Row& filled) {
      return TimeNft(WorldOf(family, rules), filled);
    });
    row.nft_rules_ns = nft.nft_rules_ns;
    row.nft_map_ns = nft.nft_map_ns;
    if (nft.note[0] != 0) row.Note(nft.note);
  }
  return row;
}

Row MeasureCluster(const KubernetesShape& shape, int size, const MeasureOptions& options) {
  return InProcessOfItsOwn(size, options.limit_seconds,
                           [&](Row& row) { return Cluster(shape, row); });
}

}  // namespace ripstop::bench
