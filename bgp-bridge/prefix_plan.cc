// SPDX-License-Identifier: Apache-2.0
#include "bgp-bridge/prefix_plan.h"

#include <algorithm>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "bgp-bridge/prefix.h"

namespace ripstop::bgp {
namespace {

class Planner {
 public:
  explicit Planner(const Model& model) : model_(model) { plan_.ipv6.ipv6 = true; }

  PrefixPlan Run() {
    for (const Pool& pool : model_.pools) AddPool(pool);
    for (const AdmittedPrefix& admitted : model_.admitted) AddAdmitted(admitted);
    for (const std::string& block : model_.blocks) AddRoute("block", block, &FamilyPlan::blocks);
    for (const std::string& address : model_.borrowed)
      AddRoute("borrowed address", address, &FamilyPlan::borrowed);
    AddNearNodes();
    ChooseIds();
    for (FamilyPlan* family : {&plan_.ipv4, &plan_.ipv6})
      for (auto* list :
           {&family->pools, &family->agent_pools, &family->subnet_pools, &family->silent_pools,
            &family->admitted, &family->near_nodes, &family->blocks, &family->borrowed}) {
        std::sort(list->begin(), list->end());
        list->erase(std::unique(list->begin(), list->end()), list->end());
      }
    return std::move(plan_);
  }

 private:
  FamilyPlan& Of(const Prefix& prefix) { return prefix.ipv6 ? plan_.ipv6 : plan_.ipv4; }

  void Reject(absl::string_view kind, absl::string_view text, absl::string_view reason) {
    plan_.set_aside.push_back({absl::StrCat(kind, " ", absl::CEscape(text)), std::string(reason)});
  }

  void AddPool(const Pool& pool) {
    absl::StatusOr<Prefix> prefix = ParsePrefix(pool.cidr);
    if (!prefix.ok()) return Reject("IPPool", pool.cidr, prefix.status().message());
    // A pool of length 0 would let peers set the default route.
    if (prefix->length == 0) return Reject("IPPool", pool.cidr, "a pool cannot hold every address");
    FamilyPlan& family = Of(*prefix);
    const std::string inside = absl::StrCat(prefix->Masked().ToString(), "+");
    family.pools.push_back(inside);
    if (pool.owner == RouteOwner::kAgent) family.agent_pools.push_back(inside);
    if (pool.owner == RouteOwner::kBirdWithinSubnet) family.subnet_pools.push_back(inside);
    if (pool.disable_bgp_export) family.silent_pools.push_back(inside);
  }

  void AddAdmitted(const AdmittedPrefix& admitted) {
    absl::StatusOr<Prefix> prefix = ParsePrefix(admitted.cidr);
    if (!prefix.ok()) return Reject("admitted prefix", admitted.cidr, prefix.status().message());
    if (admitted.length_min < prefix->length || admitted.length_max < admitted.length_min ||
        admitted.length_max > prefix->Bits())
      return Reject("admitted prefix", admitted.cidr,
                    absl::StrCat("lengths ", admitted.length_min, " to ", admitted.length_max,
                                 " must lie in ", prefix->length, " to ", prefix->Bits()));
    Of(*prefix).admitted.push_back(absl::StrCat(
        prefix->Masked().ToString(), "{", admitted.length_min, ",", admitted.length_max, "}"));
  }

  void AddRoute(absl::string_view kind, const std::string& text,
                std::vector<std::string> FamilyPlan::* list) {
    absl::StatusOr<Prefix> prefix = ParsePrefix(text);
    if (!prefix.ok()) return Reject(kind, text, prefix.status().message());
    if (prefix->length == 0) return Reject(kind, text, "would be the default route");
    (Of(*prefix).*list).push_back(prefix->Masked().ToString());
  }

  void AddNearNodes() {
    for (bool ipv6 : {false, true}) {
      absl::StatusOr<Prefix> self = ParsePrefix(ipv6 ? model_.self.ipv6 : model_.self.ipv4);
      if (!self.ok() || self->ipv6 != ipv6) continue;  // ExpandSessions reports it
      for (const Node& node : model_.nodes) {
        absl::StatusOr<Prefix> other = ParsePrefix(ipv6 ? node.ipv6 : node.ipv4);
        if (!other.ok() || node.name == model_.self.name) continue;
        other->length = other->Bits();
        if (self->Contains(*other)) Of(*self).near_nodes.push_back(other->Address());
      }
    }
  }

  void ChooseIds() {
    const auto id = [&](absl::string_view field, const std::string& text) -> std::string {
      if (text.empty()) return "";
      absl::StatusOr<Prefix> address = ParseAddress(text);
      if (address.ok() && !address->ipv6 && address->Address() != "0.0.0.0")
        return address->Address();
      Reject(field, text, "is not a dotted quad other than 0.0.0.0");
      return "";
    };
    plan_.cluster_id = id("route reflector cluster ID", model_.self.route_reflector_cluster_id);
    plan_.router_id = id("router ID", model_.router_id);
    if (!plan_.router_id.empty()) return;
    absl::StatusOr<Prefix> self = ParsePrefix(model_.self.ipv4);
    if (self.ok() && !self->ipv6) {
      plan_.router_id = self->Address();
      return;
    }
    // An identifier only has to be unique and not zero (RFC 6286).
    uint32_t hash = 0x811c9dc5u;
    for (unsigned char c : model_.self.name) hash = (hash ^ c) * 0x01000193u;
    Prefix made;
    hash |= 1;
    for (int i = 0; i < 4; ++i) made.bytes[i] = static_cast<uint8_t>(hash >> (8 * i));
    plan_.router_id = made.Address();
  }

  const Model& model_;
  PrefixPlan plan_;
};

}  // namespace

PrefixPlan PlanPrefixes(const Model& model) { return Planner(model).Run(); }

}  // namespace ripstop::bgp
