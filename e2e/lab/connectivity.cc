// SPDX-License-Identifier: Apache-2.0
#include "e2e/lab/connectivity.h"

#include <map>
#include <nlohmann/json.hpp>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "e2e/lab/patience.h"
#include "policy/status_macros.h"

namespace ripstop::lab {
namespace {

using nlohmann::json;

absl::Status MeasureFrom(const Lab& lab, const std::string& from,
                         const std::vector<FlowResult*>& results, absl::Duration limit) {
  const absl::Duration timeout = Patient(limit);
  std::string input;
  for (const FlowResult* result : results) {
    const Flow& flow = result->flow;
    std::string address = flow.to;
    if (address.find('/') != std::string::npos) {
      ASSIGN_OR_RETURN(address, lab.AddressOf(flow.to, flow.family));
    }
    absl::StrAppend(
        &input,
        json{{"id", ""}, {"protocol", flow.protocol}, {"address", address}, {"port", flow.port}}
            .dump(),
        "\n");
  }
  ASSIGN_OR_RETURN(Output output, lab.Exec(from,
                                           {lab.Binary("ripstop-probe"), "connect", "--timeout-ms",
                                            absl::StrCat(absl::ToInt64Milliseconds(timeout))},
                                           input, timeout + absl::Seconds(20)));
  const std::vector<std::string> lines = absl::StrSplit(output.out, '\n', absl::SkipEmpty());
  if (output.exit_code != 0 || lines.size() != results.size()) {
    return absl::InternalError(absl::StrCat("probing from ", from, ": ", output.err));
  }
  for (size_t i = 0; i < lines.size(); ++i) {
    const json line = json::parse(lines[i], nullptr, false);
    if (!line.is_object()) return absl::InternalError(absl::StrCat("probe said: ", lines[i]));
    FlowResult& result = *results[i];
    result.result = line.value("result", "error");
    result.peer = line.value("peer", "");
    result.ms = line.value("ms", 0.0);
    const bool names_pod = result.flow.to.find('/') != std::string::npos;
    if (result.reached() && names_pod && result.peer != result.flow.to) result.result = "error";
  }
  return absl::OkStatus();
}

}  // namespace

std::string Flow::ToString() const {
  return absl::StrCat(
      from, " → ", to, " ", protocol, "/", port, " IPv",
      to.find('/') == std::string::npos ? (to.find(':') == std::string::npos ? 4 : 6) : family);
}

absl::StatusOr<std::vector<FlowResult>> Measure(const Lab& lab, const std::vector<Flow>& flows,
                                                absl::Duration timeout) {
  std::vector<FlowResult> results(flows.size());
  std::map<std::string, std::vector<FlowResult*>> by_source;
  for (size_t i = 0; i < flows.size(); ++i) {
    results[i].flow = flows[i];
    by_source[flows[i].from].push_back(&results[i]);
  }
  std::vector<absl::Status> statuses(by_source.size());
  std::vector<std::thread> threads;
  size_t index = 0;
  for (const auto& [from, mine] : by_source) {
    threads.emplace_back([&lab, &from = from, &mine = mine, timeout, status = &statuses[index++]] {
      *status = MeasureFrom(lab, from, mine, timeout);
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const absl::Status& status : statuses) RETURN_IF_ERROR(status);
  return results;
}

}  // namespace ripstop::lab
