// SPDX-License-Identifier: Apache-2.0
#ifndef RIPSTOP_API_CTL_DROP_SAMPLES_H_
#define RIPSTOP_API_CTL_DROP_SAMPLES_H_

#include "api/ctl/table.h"
#include "api/proto/agent.pb.h"

namespace ripstop::ctl {

// The first `most` of them, a line each.
Table SamplesTable(const google::protobuf::RepeatedPtrField<agent::v1::DropsReply::Sample>& samples,
                   int most);

}  // namespace ripstop::ctl

#endif  // RIPSTOP_API_CTL_DROP_SAMPLES_H_
