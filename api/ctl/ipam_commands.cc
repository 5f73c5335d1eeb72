// SPDX-License-Identifier: Apache-2.0
//
// ipam show, check, release: addresses as the store has them.
#include <CLI/CLI.hpp>
#include <fstream>
#include <iterator>
#include <memory>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "api/ctl/context.h"
#include "api/ctl/ipam_release.h"
#include "api/ctl/ipam_report.h"
#include "api/ctl/ipam_show.h"
#include "api/ctl/table.h"
#include "policy/status_macros.h"

namespace ripstop::ctl {
namespace {

struct IpamOptions {
  std::string output = "table";
  std::vector<std::string> ips;
  bool blocks = false;
  bool borrowed = false;
  std::string report;
  std::string node;
  std::string patience = "5s";
};

// ---- show ----

void RunShow(Context& context, const IpamOptions& options) {
  const auto store = context.OpenStore(false);
  if (!store.ok()) return context.Fail(store.status());
  const auto world = ReadAddressWorld(**store);
  if (!world.ok()) return context.Fail(world.status());
  const bool json = options.output == "json";
  if (!options.ips.empty()) {
    const auto address = policy::Address::Parse(options.ips.front());
    if (!address.ok()) return context.Fail(kExitUsage, std::string(address.status().message()));
    ShowAddress(context.io.out, *world, *address, json);
  } else if (options.borrowed) {
    ShowBorrowed(context.io, *world, json);
  } else {
    ShowPools(context.io, *world, options.blocks, json);
  }
}

// ---- check ----

void PrintReport(const IpamReport& report, std::ostream& out) {
  out << report.pools << " pools, " << report.blocks << " blocks, " << report.allocated
      << " addresses allocated, " << report.endpoints
      << " addresses of endpoints: " << report.problems.size()
      << (report.problems.size() == 1 ? " problem\n" : " problems\n");
  if (report.problems.empty()) return;
  out << "\n";
  Table table({"PROBLEM", "OF", "WHAT"});
  for (const IpamProblem& problem : report.problems) {
    table.Add({ToString(problem.kind), problem.subject, problem.what});
  }
  table.Print(out);
}

void RunCheck(Context& context, const IpamOptions& options) {
  const auto store = context.OpenStore(false);
  if (!store.ok()) return context.Fail(store.status());
  const auto world = ReadAddressWorld(**store);
  if (!world.ok()) return context.Fail(world.status());
  const IpamReport report = CheckAddresses(*world);
  if (options.output == "json") {
    context.io.out << ToJson(report).dump(2) << "\n";
  } else {
    PrintReport(report, context.io.out);
  }
  if (options.output != "json" && options.output != "table") {  // a file, as calicoctl has it
    std::ofstream file(options.output);
    file << ToJson(report).dump(2) << "\n";
    if (!file.flush()) return context.Fail(kExitError, "cannot write " + options.output);
  }
  if (!report.problems.empty()) context.exit_code = kExitError;
}

// ---- release ----

absl::StatusOr<std::vector<IpamProblem>> ToRelease(const IpamOptions& options) {
  std::vector<IpamProblem> leaked;
  for (const std::string& ip : options.ips) {
    RETURN_IF_ERROR(policy::Address::Parse(ip).status());
    leaked.push_back({.kind = IpamProblem::Kind::kLeaked, .subject = ip});
  }
  if (options.report.empty()) return leaked;
  std::ifstream file(options.report);
  if (!file) return absl::InvalidArgumentError("cannot read " + options.report);
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  auto in_report = LeakedIn(text);
  if (!in_report.ok()) {
    return absl::InvalidArgumentError(
        absl::StrCat(options.report, ": ", in_report.status().message()));
  }
  return in_report;
}

void ReleaseOfNode(Context& context, api::Store& store, const IpamOptions& options,
                   absl::Duration patience) {
  const auto released = ReleaseNode(store, options.node, patience);
  if (!released.ok()) return context.Fail(released.status());
  context.io.out << "node " << options.node << ": " << released->addresses << " addresses, "
                 << released->blocks << " blocks and " << released->endpoints
                 << " endpoints released\n";
}

void RunRelease(Context& context, const IpamOptions& options) {
  absl::Duration patience;
  if (!absl::ParseDuration(options.patience, &patience) || patience < absl::ZeroDuration()) {
    return context.Fail(kExitUsage,
                        absl::StrCat("--wait ", options.patience, ": write a duration such as 5s"));
  }
  const auto leaked = ToRelease(options);
  if (!leaked.ok()) return context.Fail(kExitUsage, std::string(leaked.status().message()));
  const auto store = context.OpenStore(false);
  if (!store.ok()) return context.Fail(store.status());
  if (!options.node.empty()) return ReleaseOfNode(context, **store, options, patience);
  const auto lines = ReleaseLeaked(**store, *leaked);
  if (!lines.ok()) return context.Fail(lines.status());
  for (const std::string& line : *lines) context.io.out << line << "\n";
  if (lines->empty()) context.io.err << "The report names no leaked address.\n";
}

}  // namespace

void AddIpamCommands(CLI::App& app, Context& context) {
  CLI::App* ipam = app.add_subcommand("ipam", "Addresses: show, check, release");
  ipam->require_subcommand(1);

  const auto shown = std::make_shared<IpamOptions>();
  CLI::App* show =
      ipam->add_subcommand("show", "How full pools and blocks are; who has an address");
  CLI::Option* one = show->add_option("--ip", shown->ips, "This address alone")->expected(1);
  CLI::Option* blocks = show->add_flag("--show-blocks", shown->blocks, "Each block as well");
  show->add_flag("--show-borrowed", shown->borrowed,
                 "Addresses used on other nodes than their block's")
      ->excludes(one)
      ->excludes(blocks);
  show->add_option("-o,--output", shown->output, "table or json")
      ->check(CLI::IsMember({"table", "json"}));
  show->callback([&context, shown] { RunShow(context, *shown); });

  const auto checked = std::make_shared<IpamOptions>();
  CLI::App* check = ipam->add_subcommand(
      "check", "Where blocks, endpoints, pools and nodes contradict each other; exit 1 if they do");
  check->add_option("-o,--output", checked->output,
                    "table, json, or a file for the report, which release --from-report reads");
  check->callback([&context, checked] { RunCheck(context, *checked); });

  const auto freed = std::make_shared<IpamOptions>();
  CLI::App* release = ipam->add_subcommand(
      "release", "Give back what nobody uses: leaked addresses, all of a node that is gone");
  CLI::Option_group* what = release->add_option_group("what");
  what->add_option("--ip", freed->ips, "An address that no endpoint has; repeatable");
  what->add_option("--from-report", freed->report, "The leaked addresses of ipam check's report");
  what->add_option("--node", freed->node,
                   "Endpoints, addresses and blocks of a node that is not in the store any more");
  what->require_option(1);
  release
      ->add_option("--wait", freed->patience,
                   "--node: how long its agent has to say that it is not gone")
      ->capture_default_str();
  release->callback([&context, freed] { RunRelease(context, *freed); });
}

}  // namespace ripstop::ctl
