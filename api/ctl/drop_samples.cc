// SPDX-License-Identifier: Apache-2.0
#include "api/ctl/drop_samples.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "api/ctl/flow_words.h"
#include "api/ctl/watching.h"

namespace ripstop::ctl {

Table SamplesTable(const google::protobuf::RepeatedPtrField<agent::v1::DropsReply::Sample>& samples,
                   int most) {
  Table table({"LAST (UTC)", "TIMES", "REASON", "POD", "PROTOCOL", "PACKET", "DENIED BY"});
  int shown = 0;
  for (const agent::v1::DropsReply::Sample& sample : samples) {
    if (++shown > most) break;
    const agent::v1::FlowEvent& event = sample.event();
    const auto dash = [](const std::string& text) { return text.empty() ? "-" : text; };
    table.Add({TimeOfDay(event.time()), absl::StrCat(sample.times()), event.reason(),
               dash(sample.pod()), dash(event.protocol()), FlowName(event),
               Rules(event.egress_rule(), event.ingress_rule())});
  }
  return table;
}

}  // namespace ripstop::ctl
