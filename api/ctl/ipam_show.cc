// SPDX-License-Identifier: Apache-2.0
#include "api/ctl/ipam_show.h"

#include <algorithm>
#include <cmath>
#include <set>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "api/ctl/kind_words.h"
#include "api/ctl/staged_text.h"
#include "api/ctl/table.h"
#include "api/ipam/pools.h"

namespace ripstop::ctl {
namespace {

using nlohmann::ordered_json;

// 2^bits, or the nearest that a double holds: an IPv6 pool has more than anybody counts.
double SizeOf(const policy::Cidr& cidr) { return std::exp2(128 - cidr.bits); }

std::string Count(double number) {
  return number < 1e15 ? absl::StrCat(static_cast<int64_t>(number))
                       : absl::StrFormat("%.3g", number);
}

std::string Share(double part, double whole) {
  return absl::StrFormat("%s (%.0f%%)", Count(part), whole == 0 ? 0 : 100 * part / whole);
}

// A line of show: a pool or a block.
struct Line {
  std::string grouping, name;
  policy::Cidr cidr;
  int used = 0;
  std::string note;
};

std::vector<Line> LinesOf(const AddressWorld& world, bool with_blocks) {
  std::vector<Line> lines;
  std::set<policy::Cidr> shown;
  const auto add_block = [&](const policy::Cidr& cidr, const ipam::Block& block) {
    shown.insert(cidr);
    const std::string node = block.affinity().empty() ? "nobody's" : "node " + block.affinity();
    const auto others = block.Borrowed().size();
    lines.push_back({"Block", "", cidr, block.proto().allocations_size(),
                     others == 0 ? node : absl::StrCat(node, ", ", others, " used by others")});
  };
  for (const auto& [name, pool] : world.pools) {
    const auto cidr = ipam::CidrOf(pool.spec());
    if (!cidr.has_value()) continue;
    const std::string note = ipam::IsTerminating(pool) ? "Terminating"
                             : pool.spec().disabled()  ? "Disabled"
                                                       : "";
    lines.push_back({"IP Pool", name, *cidr, UsageIn(world.ipam, *cidr).addresses, note});
    for (const auto& [block, stored] : world.ipam.blocks) {
      if (with_blocks && cidr->Contains(block)) add_block(block, stored.block);
    }
  }
  for (const auto& [block, stored] : world.ipam.blocks) {
    const bool pooled =
        std::any_of(world.pools.begin(), world.pools.end(), [block = block](const auto& item) {
          const auto cidr = ipam::CidrOf(item.second.spec());
          return cidr.has_value() && cidr->Contains(block);
        });
    if (pooled) continue;
    add_block(block, stored.block);
    lines.back().note += ", of no pool";
  }
  return lines;
}

}  // namespace

void ShowPools(const Io& io, const AddressWorld& world, bool with_blocks, bool json) {
  const std::vector<Line> lines = LinesOf(world, with_blocks);
  if (json) {
    ordered_json all = ordered_json::array();
    for (const Line& line : lines) {
      ordered_json one = {{"grouping", line.grouping},    {"name", line.name},
                          {"cidr", line.cidr.ToString()}, {"total", SizeOf(line.cidr)},
                          {"inUse", line.used},           {"note", line.note}};
      all.push_back(std::move(one));
    }
    io.out << all.dump(2) << "\n";
    return;
  }
  Table table({"GROUPING", "NAME", "CIDR", "IPS TOTAL", "IPS IN USE", "IPS FREE", "NOTE"});
  for (const Line& line : lines) {
    const double total = SizeOf(line.cidr);
    table.Add({line.grouping, OrDash(line.name), line.cidr.ToString(), Count(total),
               Share(line.used, total), Share(total - line.used, total), OrDash(line.note)});
  }
  if (table.empty()) {
    io.err << "No IP pools and no blocks.\n";
    return;
  }
  table.Print(io.out);
}

void ShowBorrowed(const Io& io, const AddressWorld& world, bool json) {
  Table table({"IP", "USED BY NODE", "BLOCK", "BLOCK OF", "POD"});
  ordered_json all = ordered_json::array();
  for (const auto& [cidr, stored] : world.ipam.blocks) {
    for (const auto& allocation : stored.block.proto().allocations()) {
      if (allocation.node() == stored.block.affinity()) continue;
      const std::string ip = ipam::AddressAt(cidr, allocation.ordinal()).ToString();
      const std::string pod = absl::StrCat(allocation.pod_namespace(), "/", allocation.pod_name());
      table.Add({ip, allocation.node(), cidr.ToString(), OrDash(stored.block.affinity()), pod});
      all.push_back({{"ip", ip},
                     {"node", allocation.node()},
                     {"block", cidr.ToString()},
                     {"blockNode", stored.block.affinity()},
                     {"pod", pod}});
    }
  }
  if (json) {
    io.out << all.dump(2) << "\n";
  } else if (table.empty()) {
    io.err << "No address is borrowed.\n";
  } else {
    table.Print(io.out);
  }
}

namespace {

ordered_json Lookup(const AddressWorld& world, const policy::Address& address) {
  ordered_json found = {{"ip", address.ToString()}, {"inUse", false}};
  for (const auto& [name, pool] : world.pools) {
    const auto cidr = ipam::CidrOf(pool.spec());
    if (cidr.has_value() && cidr->Contains(address)) found["pool"] = name;
  }
  for (const auto& [cidr, stored] : world.ipam.blocks) {
    if (!cidr.Contains(address)) continue;
    found["block"] = cidr.ToString();
    found["blockNode"] = stored.block.affinity();
    for (const auto& allocation : stored.block.proto().allocations()) {
      if (ipam::AddressAt(cidr, allocation.ordinal()) != address) continue;
      found["inUse"] = true;
      found["node"] = allocation.node();
      found["namespace"] = allocation.pod_namespace();
      found["pod"] = allocation.pod_name();
      found["handle"] = allocation.handle();
    }
  }
  const auto user = world.users.find(address);
  if (user != world.users.end()) found["endpoint"] = Label(user->second.endpoint);
  return found;
}

}  // namespace

void ShowAddress(std::ostream& out, const AddressWorld& world, const policy::Address& address,
                 bool json) {
  const ordered_json found = Lookup(world, address);
  if (json) {
    out << found.dump(2) << "\n";
    return;
  }
  out << "IP " << found["ip"].get<std::string>()
      << (found["inUse"].get<bool>() ? " is in use\n" : " is not currently assigned\n");
  for (const auto& [key, value] : found.items()) {
    if (value.is_string() && key != "ip") {
      out << "  " << key << ": " << OrDash(value.get<std::string>()) << "\n";
    }
  }
  if (!found.contains("pool")) out << "  of no IP pool\n";
  if (found["inUse"].get<bool>() && !found.contains("endpoint")) {
    out << "  no endpoint has it: leaked, unless its pod is just coming or going\n";
  }
}

}  // namespace ripstop::ctl
