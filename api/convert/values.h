// SPDX-License-Identifier: Apache-2.0
//
// Values that are read the same way by validation and by conversion.
#ifndef RIPSTOP_API_CONVERT_VALUES_H_
#define RIPSTOP_API_CONVERT_VALUES_H_

#include <cstdint>
#include <optional>
#include <string>
#include <variant>

#include "api/proto/resources.pb.h"
#include "policy/model.h"

namespace ripstop::api {

std::string ToString(const v1::IntOrString& value);

// TCP, UDP, ICMP, ICMPv6, SCTP, UDPLite in any case, or 1-255.
std::optional<uint8_t> ProtocolNumber(const v1::IntOrString& value);
std::optional<uint8_t> ProtocolNumber(const std::string& name);

// projectcalico.org: a number, "80", "80:90" or a port name. nullopt: none of these.
std::optional<std::variant<policy::PortRange, std::string>> CalicoPort(
    const v1::IntOrString& value);

// IANA_SVC_NAME, what Kubernetes allows as the name of a port: at most 15 characters of
// a-z, 0-9 and single hyphens inside, at least one letter.
bool IsPortName(const std::string& name);

// 0-65535.
std::optional<uint16_t> PortNumber(int64_t number);

}  // namespace ripstop::api

#endif  // RIPSTOP_API_CONVERT_VALUES_H_
