// SPDX-License-Identifier: Apache-2.0
//
// ripstop-demo [--down]: raises e2e/demo/topology.yaml with the real agents and shows the
// main job on it, step by step. Exit 0 only if everything came out as expected.
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <set>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "e2e/lab/lab.h"
#include "e2e/lab/live_flow.h"
#include "e2e/lab/matrix.h"
#include "policy/status_macros.h"

namespace ripstop::lab {
namespace {

using absl::StrCat;

class Demo {
 public:
  Demo(std::string folder, Options options)
      : folder_(std::move(folder)), options_(std::move(options)), start_(absl::Now()) {}

  absl::Status Run() {
    ASSIGN_OR_RETURN(const Topology topology, ReadTopology(folder_ + "/topology.yaml"));
    Title("The fabric: three nodes in two racks, a shop of nine pods");
    if (LoadState(topology.name).ok() ||
        std::filesystem::exists(StrCat(kRunRoot, "/", topology.name))) {
      Say("one is running or left over: replacing it");
      RETURN_IF_ERROR(Lab::Down(topology.name, options_));
    }
    ASSIGN_OR_RETURN(Lab lab, Lab::UpFromFile(folder_ + "/topology.yaml", "", options_));
    ASSIGN_OR_RETURN(expectation_, ReadExpectation(folder_ + "/expected.yaml", lab.topology()));
    RETURN_IF_ERROR(ShowSessions(lab));
    RETURN_IF_ERROR(ShowRoutes(lab));
    RETURN_IF_ERROR(ShowMatrix(lab));
    RETURN_IF_ERROR(ShowLiveCut(lab));
    RETURN_IF_ERROR(ShowWhyAndDrops(lab));
    ShowNext(lab);
    return absl::OkStatus();
  }

 private:
  void Title(const std::string& text) {
    std::cout << absl::StrFormat("\n── %s  [%.1f s]\n", text,
                                 absl::ToDoubleSeconds(absl::Now() - start_))
              << std::flush;
  }

  void Say(const std::string& text) {
    for (absl::string_view line : absl::StrSplit(text, '\n')) {
      if (!line.empty()) std::cout << "   " << line << "\n";
    }
    std::cout << std::flush;
  }

  // Shows a command as one would type it, and what it says.
  absl::Status ShowCommand(const Lab& lab, const std::string& node,
                           const std::vector<std::string>& arguments) {
    ASSIGN_OR_RETURN(Output output, lab.Ctl(arguments, "", node));
    Say(StrCat(node, "$ ripstopctl ", absl::StrJoin(arguments, " ")));
    Say(output.out + output.err);
    if (output.exit_code == 0) return absl::OkStatus();
    return absl::InternalError(
        StrCat("ripstopctl ", absl::StrJoin(arguments, " "), ": exit ", output.exit_code));
  }

  absl::Status ShowSessions(const Lab& lab) {
    Title("BGP: a node mesh, iBGP, both families");
    const absl::Time deadline = absl::Now() + absl::Seconds(20);
    for (const auto& [node, _] : lab.state().nodes) {
      while (true) {
        ASSIGN_OR_RETURN(const agent::v1::StatusReply reply, lab.AgentStatus(node));
        int established = 0;
        for (const auto& session : reply.bgp()) established += session.state() == "Established";
        if (established == reply.bgp_size() && established > 0) break;
        if (absl::Now() > deadline) {
          return absl::DeadlineExceededError(StrCat("on ", node, " ", established, " of ",
                                                    reply.bgp_size(),
                                                    " BGP sessions are established"));
        }
        absl::SleepFor(absl::Milliseconds(50));
      }
      RETURN_IF_ERROR(ShowCommand(lab, node, {"node", "status"}));
    }
    return absl::OkStatus();
  }

  // The pods' routes of one node, as the kernel has them.
  static absl::StatusOr<std::vector<std::string>> PodRoutes(const Lab& lab,
                                                            const std::string& node) {
    std::vector<std::string> routes;
    for (const char* family : {"-4", "-6"}) {
      ASSIGN_OR_RETURN(Output output, lab.Exec(node, {"ip", family, "route", "show"}));
      for (absl::string_view line : absl::StrSplit(output.out, '\n')) {
        if (absl::StrContains(line, "10.65.") || absl::StrContains(line, "fd00:10:65:")) {
          routes.emplace_back(line);
        }
      }
    }
    return routes;
  }

  absl::Status ShowRoutes(const Lab& lab) {
    Title("Routes: one per local pod; a block per other node, direct in the rack, VXLAN beyond");
    RETURN_IF_ERROR(WaitUntilExpectedFlowsPass(lab, expectation_, absl::Seconds(20)));
    ASSIGN_OR_RETURN(const std::vector<std::string> routes, PodRoutes(lab, "node1"));
    Say("node1$ ip route; ip -6 route      (pods only)");
    Say(absl::StrJoin(routes, "\n"));
    return absl::OkStatus();
  }

  absl::Status ShowMatrix(const Lab& lab) {
    const std::vector<Flow> flows = AllFlows(lab.topology());
    Title(StrCat("Who reaches whom: ", flows.size(), " real connections, TCP and UDP"));
    ASSIGN_OR_RETURN(const std::vector<FlowResult> results, Measure(lab, flows));
    Say(MatrixText(expectation_, lab.topology(), results));
    const std::vector<FlowResult> wrong = Wrong(expectation_, lab.topology(), results);
    if (wrong.empty()) {
      Say("measured = expected");
      return absl::OkStatus();
    }
    return absl::InternalError(StrCat(wrong.size(), " connections were not as expected; one is ",
                                      wrong[0].flow.ToString(), ": ", wrong[0].result));
  }

  absl::Status ShowLiveCut(const Lab& lab) {
    Title("A policy edit cuts a live connection at its next packet");
    const Flow flow{"shop/checkout-1", "data/database-2", "TCP", 5432, 4};
    ASSIGN_OR_RETURN(const LiveFlow live, LiveFlow::Start(lab, flow, {}));
    RETURN_IF_ERROR(live.WaitFor("connected").status());
    Say(StrCat("open: ", flow.ToString(), ", a line every 5 ms"));
    const std::string edit = folder_ + "/edits/freeze-orders.yaml";
    ASSIGN_OR_RETURN(Output output, lab.Ctl({"apply", "-f", edit}));
    const absl::Time applied = absl::Now();
    if (output.exit_code != 0) return absl::InternalError(StrCat("apply: ", output.err));
    Say(StrCat("$ ripstopctl apply -f e2e/demo/edits/freeze-orders.yaml"));
    ASSIGN_OR_RETURN(const nlohmann::json cut, live.WaitFor("cut"));
    const int64_t last = cut.value("last_answer_unix_ms", int64_t{0});
    Say(StrCat("cut: last answer ", last - absl::ToUnixMillis(applied),
               " ms after the command returned, ", cut.value("answered", 0),
               " lines had been answered"));
    ASSIGN_OR_RETURN(output, lab.Ctl({"delete", "-f", edit}));
    if (output.exit_code != 0) return absl::InternalError(StrCat("delete: ", output.err));
    Say(StrCat("$ ripstopctl delete -f e2e/demo/edits/freeze-orders.yaml"));
    RETURN_IF_ERROR(live.WaitFor("restored").status());
    Say("the same connection goes on");
    return absl::OkStatus();
  }

  absl::Status ShowWhyAndDrops(const Lab& lab) {
    Title("Why is the frontend kept from the database?");
    RETURN_IF_ERROR(ShowCommand(lab, "node1",
                                {"why", "--from", "shop/frontend-1", "--to", "data/database-1",
                                 "--protocol", "TCP", "--port", "5432"}));
    Title("What was dropped, by name");
    return ShowCommand(lab, "node1", {"drops"});
  }

  void ShowNext(const Lab& lab) {
    std::error_code error;
    std::string bin = std::filesystem::relative(options_.bin_dir, error).string();
    if (error || bin.empty() || absl::StartsWith(bin, "..")) bin = options_.bin_dir;
    const std::string name = lab.topology().name;
    Title("It is yours; three things to try");
    Say(StrCat(bin, "/ripstop-lab status ", name));
    Say(StrCat("echo '{\"protocol\":\"TCP\",\"address\":\"",
               lab.AddressOf("data/database-1", 4).value_or("?"), "\",\"port\":5432}' | ", bin,
               "/ripstop-lab exec ", name, " shop/cart-1 -- ripstop-probe connect"));
    Say("  (policy keeps the cart from the database: it times out)");
    Say(StrCat(bin, "/ripstop-lab exec ", name,
               " node3 -- ripstopctl why --from shop/checkout-2 --to shop/cart-2 --protocol UDP "
               "--port 7071"));
    Say("and `make demo-down` when done");
  }

  const std::string folder_;
  const Options options_;
  const absl::Time start_;
  Expectation expectation_;
};

int Main(int argc, char** argv) {
  CLI::App app("The main job of Ripstop, shown on a fabric of namespaces.", "ripstop-demo");
  std::string folder = RIPSTOP_DEMO_DIR;
  bool down = false;
  Options options;
  app.add_option("--folder", folder, "with topology.yaml, expected.yaml, policies, edits");
  app.add_option("--bin-dir", options.bin_dir, "where the other binaries are");
  app.add_flag("--down", down, "remove what the demo made, and end");
  CLI11_PARSE(app, argc, argv);
  if (geteuid() != 0) {
    std::cerr << "ripstop-demo: needs root, for network namespaces\n";
    return 1;
  }
  options.bin_dir = FindBinDir(options.bin_dir);
  options.progress = [](const std::string& line) { std::cout << "   " << line << std::endl; };
  absl::Status status;
  if (down) {
    absl::StatusOr<Topology> topology = ReadTopology(folder + "/topology.yaml");
    status = topology.ok() ? Lab::Down(topology->name, options) : topology.status();
  } else {
    status = Demo(folder, options).Run();
  }
  if (status.ok()) return 0;
  std::cerr << "\nripstop-demo: " << status.message() << "\n";
  return 1;
}

}  // namespace
}  // namespace ripstop::lab

int main(int argc, char** argv) { return ripstop::lab::Main(argc, argv); }
