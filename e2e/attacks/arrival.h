// SPDX-License-Identifier: Apache-2.0
//
// Whether an attack came through: what is asked until it says yes. Each begins to look when
// it is made, which is before the attack.
#ifndef RIPSTOP_E2E_ATTACKS_ARRIVAL_H_
#define RIPSTOP_E2E_ATTACKS_ARRIVAL_H_

#include <functional>
#include <string>

#include "absl/status/statusor.h"
#include "e2e/attacks/wire.h"

namespace ripstop::attacks {

using Arrived = std::function<bool()>;

// A packet with these bytes was received at the link, whatever the kernel made of it. For
// pods: at a node's own end of a veth it would be seen before the programs are asked.
absl::StatusOr<Arrived> Captured(const Ground& ground, const std::string& target,
                                 const Bytes& marker, const std::string& link = "eth0");

// A socket of `target` was given a datagram with these bytes: bound to a port of one address, or
// with "" of any of either family. Groups that every machine is in lead to it as well, if it is
// of their family.
absl::StatusOr<Arrived> Delivered(const Ground& ground, const std::string& target,
                                  const std::string& address, uint16_t port, const Bytes& marker);

// A raw socket of `target` was given a packet of an IP protocol with these bytes.
absl::StatusOr<Arrived> DeliveredRaw(const Ground& ground, const std::string& target, int family,
                                     int protocol, const Bytes& marker);

// What a command in `target` prints has this text.
Arrived Printed(Ground& ground, const std::string& target, const std::string& command,
                const std::string& text);

}  // namespace ripstop::attacks

#endif  // RIPSTOP_E2E_ATTACKS_ARRIVAL_H_
