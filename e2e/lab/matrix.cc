// SPDX-License-Identifier: Apache-2.0
#include "e2e/lab/matrix.h"

#include <yaml-cpp/yaml.h>

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "policy/status_macros.h"

namespace ripstop::lab {
namespace {

std::string PortText(const Port& port) { return absl::StrCat(port.protocol, "/", port.port); }

std::string TargetOf(const Topology& topology, const Flow& flow) {
  const Pod* to = topology.FindPod(flow.to);
  return absl::StrCat(to ? ApplicationOf(*to) : flow.to, " ", flow.protocol, "/", flow.port);
}

std::string ShortName(const std::string& application) {
  return application.substr(application.find('/') + 1);
}

}  // namespace

std::string ApplicationOf(const Pod& pod) {
  const auto app = pod.labels.find("app");
  return absl::StrCat(pod.ns, "/", app == pod.labels.end() ? pod.name : app->second);
}

absl::StatusOr<Expectation> ReadExpectation(const std::string& path, const Topology& topology) {
  std::set<std::string> sources, targets;
  for (const Pod& pod : topology.pods) {
    sources.insert(ApplicationOf(pod));
    for (const Port& port : pod.ports) {
      targets.insert(absl::StrCat(ApplicationOf(pod), " ", PortText(port)));
    }
  }
  Expectation expectation;
  auto unknown = [&](const YAML::Node& node, const std::set<std::string>& known) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, ":", node.Mark().line + 1, ": '", node.as<std::string>(),
                     "' is not in the topology; there are: ", absl::StrJoin(known, ", ")));
  };
  try {
    for (const auto& entry : YAML::LoadFile(path)) {
      const std::string from = entry.first.as<std::string>();
      if (!sources.contains(from)) return unknown(entry.first, sources);
      expectation[from];
      for (const YAML::Node& item : entry.second) {
        if (!targets.contains(item.as<std::string>())) return unknown(item, targets);
        expectation[from].insert(item.as<std::string>());
      }
    }
  } catch (const YAML::Exception& e) {
    return absl::InvalidArgumentError(absl::StrCat(path, ":", e.mark.line + 1, ": ", e.msg));
  }
  return expectation;
}

std::vector<Flow> AllFlows(const Topology& topology) {
  std::vector<Flow> flows;
  for (const Pod& from : topology.pods) {
    for (const Pod& to : topology.pods) {
      if (from.key() == to.key()) continue;  // a pod always reaches itself
      for (const Port& port : to.ports) {
        for (int family : {4, 6}) {
          flows.push_back({from.key(), to.key(), port.protocol, port.port, family});
        }
      }
    }
  }
  return flows;
}

bool IsExpected(const Expectation& expectation, const Topology& topology, const Flow& flow) {
  const Pod* from = topology.FindPod(flow.from);
  const auto allowed = expectation.find(from ? ApplicationOf(*from) : flow.from);
  return allowed != expectation.end() && allowed->second.contains(TargetOf(topology, flow));
}

std::string PathOf(const Topology& topology, const Flow& flow) {
  const Pod* from = topology.FindPod(flow.from);
  const Pod* to = topology.FindPod(flow.to);
  if (from == nullptr || to == nullptr) return "elsewhere";
  if (from->node == to->node) return "same node";
  const Node* a = topology.FindNode(from->node);
  const Node* b = topology.FindNode(to->node);
  return a->subnet == b->subnet ? "same subnet" : "across subnets";
}

std::vector<FlowResult> Wrong(const Expectation& expectation, const Topology& topology,
                              const std::vector<FlowResult>& results) {
  std::vector<FlowResult> wrong;
  for (const FlowResult& result : results) {
    // A refusal or an answer by a stranger is neither delivery nor a policy's silence.
    const bool as_expected = IsExpected(expectation, topology, result.flow)
                                 ? result.reached()
                                 : result.result == "timeout";
    if (!as_expected) wrong.push_back(result);
  }
  return wrong;
}

std::string MatrixText(const Expectation& expectation, const Topology& topology,
                       const std::vector<FlowResult>& results) {
  struct Cell {
    int tried = 0, answered = 0, wrong = 0;
    bool expected = false;
  };
  std::vector<std::string> rows, columns;
  std::map<std::pair<std::string, std::string>, Cell> cells;
  std::map<std::pair<std::string, int>, Cell> paths;
  auto note = [](std::vector<std::string>* list, const std::string& name) {
    if (std::find(list->begin(), list->end(), name) == list->end()) list->push_back(name);
  };
  for (const FlowResult& result : results) {
    const std::string row = ApplicationOf(*topology.FindPod(result.flow.from));
    const std::string column = TargetOf(topology, result.flow);
    note(&rows, row);
    note(&columns, column);
    const bool wrong = !Wrong(expectation, topology, {result}).empty();
    for (Cell* cell :
         {&cells[{row, column}], &paths[{PathOf(topology, result.flow), result.flow.family}]}) {
      ++cell->tried;
      cell->answered += result.reached();
      cell->wrong += wrong;
      cell->expected = IsExpected(expectation, topology, result.flow);
    }
  }
  std::string text = absl::StrFormat("%-10s", "from \\ to");
  for (const std::string& column : columns) {
    absl::StrAppendFormat(&text, "  %-12s", ShortName(column.substr(0, column.find(' '))));
  }
  absl::StrAppendFormat(&text, "\n%-10s", "");
  for (const std::string& column : columns) {
    absl::StrAppendFormat(&text, "  %-12s", column.substr(column.find(' ') + 1));
  }
  for (const std::string& row : rows) {
    absl::StrAppendFormat(&text, "\n%-10s", ShortName(row));
    for (const std::string& column : columns) {
      const auto it = cells.find({row, column});
      const Cell cell = it == cells.end() ? Cell{} : it->second;
      absl::StrAppendFormat(
          &text, "  %-12s",
          absl::StrFormat("%2d/%-2d %s%s", cell.answered, cell.tried,
                          cell.expected ? "allow" : "deny", cell.wrong != 0 ? " !" : ""));
    }
  }
  absl::StrAppend(&text, "\n(connections answered / tried, and what is expected)\n");
  for (const auto& [path, cell] : paths) {
    absl::StrAppendFormat(&text, "%-15s IPv%d: %d of %d as expected\n", path.first, path.second,
                          cell.tried - cell.wrong, cell.tried);
  }
  return text;
}

absl::Status WaitUntilExpectedFlowsPass(const Lab& lab, const Expectation& expectation,
                                        absl::Duration patience) {
  std::vector<Flow> pending;
  for (const Flow& flow : AllFlows(lab.topology())) {
    if (IsExpected(expectation, lab.topology(), flow)) pending.push_back(flow);
  }
  const absl::Time deadline = absl::Now() + patience;
  while (!pending.empty()) {
    if (absl::Now() > deadline) {
      return absl::DeadlineExceededError(
          absl::StrCat(pending.size(), " flows that should pass do not, after ",
                       absl::FormatDuration(patience), "; one is ", pending[0].ToString()));
    }
    ASSIGN_OR_RETURN(const std::vector<FlowResult> results,
                     Measure(lab, pending, absl::Milliseconds(300)));
    pending.clear();
    for (const FlowResult& result : results) {
      if (!result.reached()) pending.push_back(result.flow);
    }
  }
  return absl::OkStatus();
}

}  // namespace ripstop::lab
