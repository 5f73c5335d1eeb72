// SPDX-License-Identifier: Apache-2.0
//
// The tables in force, read back from the kernel's maps as the programs read them.
// Works on whatever generation is active, also one of an earlier process.
#ifndef RIPSTOP_AGENT_DATAPLANE_TABLES_READER_H_
#define RIPSTOP_AGENT_DATAPLANE_TABLES_READER_H_

#include <map>

#include "absl/status/statusor.h"
#include "agent/dataplane/datapath_object.h"
#include "agent/dataplane/dataplane_interface.h"

namespace ripstop::agent {

// kFailedPrecondition: no tables are in force.
absl::StatusOr<PacketLookup> LookupInForce(const DatapathObject& object,
                                           const policy::Packet& packet);
absl::StatusOr<std::map<uint32_t, rule_hits>> HitsInForce(const DatapathObject& object);
absl::StatusOr<std::vector<DropCount>> ReadDrops(const DatapathObject& object);
absl::StatusOr<uint64_t> ReadLostEvents(const DatapathObject& object);

}  // namespace ripstop::agent

#endif  // RIPSTOP_AGENT_DATAPLANE_TABLES_READER_H_
