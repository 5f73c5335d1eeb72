// SPDX-License-Identifier: Apache-2.0
#include "agent/netlink/rule_steps.h"

#include <arpa/inet.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>

#include <set>
#include <string>
#include <utility>

#include "agent/netlink/socket.h"
#include "agent/netlink/xt_steps.h"

namespace ripstop::agent {
namespace {

constexpr uint32_t kWordBytes = 4;

// Four registers of 16 bytes, and the same memory as 16 of 4.
uint32_t Place(const Attributes& expression, uint16_t type) {
  const uint32_t number = ntohl(expression.U32(type));
  if (number >= NFT_REG32_00) return (number - NFT_REG32_00) * kWordBytes;
  return number >= NFT_REG_1 ? (number - NFT_REG_1) * NFT_REG_SIZE : 0;
}
bool InFile(uint32_t place, uint32_t length) {
  return length <= kRegisterBytes && place <= kRegisterBytes - length;
}

uint32_t Number(const Attributes& expression, uint16_t type) { return ntohl(expression.U32(type)); }

RuleStep Load(RuleStep::Kind kind, uint32_t key, uint32_t to, uint32_t length) {
  RuleStep step;
  if (!InFile(to, length)) return step;
  step.kind = kind;
  step.key = key;
  step.to = to;
  step.length = length;
  return step;
}

// How much of the register a field of the packet's metadata takes: names are long.
uint32_t MetaLength(uint32_t key) {
  constexpr uint32_t kNameBytes = 16;
  switch (key) {
    case NFT_META_IIFNAME:
    case NFT_META_OIFNAME:
    case NFT_META_IIFKIND:
    case NFT_META_OIFKIND: return kNameBytes;
    default: return kWordBytes;
  }
}

RuleStep Meta(const Attributes& data) {
  // One that sets something matches always; rules by mark are not followed.
  if (data[NFTA_META_DREG] == nullptr) return Ending(RuleVerdict::kNone);
  const uint32_t key = Number(data, NFTA_META_KEY);
  return Load(RuleStep::kMeta, key, Place(data, NFTA_META_DREG), MetaLength(key));
}

RuleStep Conntrack(const Attributes& data) {
  if (data[NFTA_CT_DREG] == nullptr) return Ending(RuleVerdict::kNone);
  const uint32_t key = Number(data, NFTA_CT_KEY);
  if (key != NFT_CT_STATE && key != NFT_CT_STATUS) return {};
  return Load(RuleStep::kConntrack, key, Place(data, NFTA_CT_DREG), kWordBytes);
}

RuleStep Fib(const Attributes& data) {
  RuleStep step =
      Load(RuleStep::kFib, Number(data, NFTA_FIB_RESULT), Place(data, NFTA_FIB_DREG), kWordBytes);
  step.flags = Number(data, NFTA_FIB_FLAGS);
  return step;
}

RuleStep Payload(const Attributes& data) {
  // One that writes into the packet.
  if (data[NFTA_PAYLOAD_DREG] == nullptr) return Ending(RuleVerdict::kNone);
  RuleStep step = Load(RuleStep::kPayload, Number(data, NFTA_PAYLOAD_BASE),
                       Place(data, NFTA_PAYLOAD_DREG), Number(data, NFTA_PAYLOAD_LEN));
  step.offset = Number(data, NFTA_PAYLOAD_OFFSET);
  return step;
}

// Of IPv6: its field is of a header that is not there. Options of TCP and IPv4 may be.
RuleStep ExtensionHeader(const Attributes& data) {
  const bool ipv6 =
      data[NFTA_EXTHDR_OP] == nullptr || Number(data, NFTA_EXTHDR_OP) == NFT_EXTHDR_OP_IPV6;
  const bool asks = (Number(data, NFTA_EXTHDR_FLAGS) & NFT_EXTHDR_F_PRESENT) != 0;
  return ipv6 && !asks && data[NFTA_EXTHDR_DREG] != nullptr ? Never() : RuleStep();
}

RuleStep Immediate(const Attributes& data) {
  RuleStep step;
  if (data[NFTA_IMMEDIATE_DATA] == nullptr) return step;
  const Attributes value(data[NFTA_IMMEDIATE_DATA]);
  if (value[NFTA_DATA_VERDICT] != nullptr) {
    step.kind = RuleStep::kEnd;
    step.end = EndOf(value[NFTA_DATA_VERDICT]);
    return step;
  }
  std::vector<uint8_t> bytes = DataValue(data[NFTA_IMMEDIATE_DATA]);
  step = Load(RuleStep::kConstant, 0, Place(data, NFTA_IMMEDIATE_DREG),
              static_cast<uint32_t>(bytes.size()));
  step.data = std::move(bytes);
  return step;
}

RuleStep Mask(const Attributes& data) {
  const bool boolean =
      data[NFTA_BITWISE_OP] == nullptr || Number(data, NFTA_BITWISE_OP) == NFT_BITWISE_BOOL;
  if (!boolean) return {};
  RuleStep step =
      Load(RuleStep::kMask, 0, Place(data, NFTA_BITWISE_DREG), Number(data, NFTA_BITWISE_LEN));
  step.from = Place(data, NFTA_BITWISE_SREG);
  step.data = DataValue(data[NFTA_BITWISE_MASK]);
  step.data2 = DataValue(data[NFTA_BITWISE_XOR]);
  const bool whole = step.data.size() == step.length && step.data2.size() == step.length;
  return whole && InFile(step.from, step.length) ? step : RuleStep();
}

RuleStep Compared(RuleStep::Kind kind, uint32_t place, uint32_t operation, const nlattr* first,
                  const nlattr* last) {
  RuleStep step;
  step.data = DataValue(first);
  step.length = static_cast<uint32_t>(step.data.size());
  if (last != nullptr) step.data2 = DataValue(last);
  if (!InFile(place, step.length) || (last != nullptr && step.data2.size() != step.length))
    return {};
  step.kind = kind;
  step.from = place;
  step.key = operation;
  return step;
}

RuleStep Lookup(const Attributes& data) {
  RuleStep step;
  step.kind = RuleStep::kLookup;
  step.set = data.String(NFTA_LOOKUP_SET);
  step.from = Place(data, NFTA_LOOKUP_SREG);
  step.flags = Number(data, NFTA_LOOKUP_FLAGS);
  if (data[NFTA_LOOKUP_DREG] == nullptr) return step;
  step.ends = Number(data, NFTA_LOOKUP_DREG) == NFT_REG_VERDICT;
  // A map of data: what it holds is not followed.
  return step.ends ? step : RuleStep();
}

RuleStep StepOf(const nlattr* element) {
  static const std::set<std::string> kNoMatch = {"counter", "log",          "objref",
                                                 "last",    "flow_offload", "dup"};
  static const std::set<std::string> kElsewhere = {"queue", "fwd", "tproxy", "synproxy"};
  const Attributes expression(element);
  const std::string name = expression.String(NFTA_EXPR_NAME);
  if (kNoMatch.contains(name)) return Ending(RuleVerdict::kNone);
  if (kElsewhere.contains(name)) return Ending(RuleVerdict::kElsewhere);
  if (name == "notrack") return NoTrack();
  if (name == "reject") return Ending(RuleVerdict::kReject);
  if (expression[NFTA_EXPR_DATA] == nullptr) return {};
  const Attributes data(expression[NFTA_EXPR_DATA]);
  if (name == "meta") return Meta(data);
  if (name == "ct") return Conntrack(data);
  if (name == "fib") return Fib(data);
  if (name == "payload") return Payload(data);
  if (name == "immediate") return Immediate(data);
  if (name == "bitwise") return Mask(data);
  if (name == "cmp") {
    return Compared(RuleStep::kCompare, Place(data, NFTA_CMP_SREG), Number(data, NFTA_CMP_OP),
                    data[NFTA_CMP_DATA], nullptr);
  }
  if (name == "range") {
    return Compared(RuleStep::kRange, Place(data, NFTA_RANGE_SREG), Number(data, NFTA_RANGE_OP),
                    data[NFTA_RANGE_FROM_DATA], data[NFTA_RANGE_TO_DATA]);
  }
  if (name == "lookup") return Lookup(data);
  if (name == "exthdr") return ExtensionHeader(data);
  if (name == "match") return XtMatch(data);
  if (name == "target") return XtTarget(data);
  return {};
}

}  // namespace

void EachNested(const nlattr* nest, const std::function<void(const nlattr*)>& visit) {
  if (nest == nullptr) return;
  const auto* element = static_cast<const nlattr*>(mnl_attr_get_payload(nest));
  const char* end =
      static_cast<const char*>(mnl_attr_get_payload(nest)) + mnl_attr_get_payload_len(nest);
  for (; mnl_attr_ok(element, static_cast<int>(end - reinterpret_cast<const char*>(element)));
       element = mnl_attr_next(element)) {
    visit(element);
  }
}

std::vector<uint8_t> DataValue(const nlattr* data) {
  if (data == nullptr) return {};
  const nlattr* value = Attributes(data)[NFTA_DATA_VALUE];
  if (value == nullptr) return {};
  const auto* bytes = static_cast<const uint8_t*>(mnl_attr_get_payload(value));
  return {bytes, bytes + mnl_attr_get_payload_len(value)};
}

RuleEnd EndOf(const nlattr* verdict) {
  if (verdict == nullptr) return {};
  const Attributes attributes(verdict);
  RuleEnd end;
  end.chain = attributes.String(NFTA_VERDICT_CHAIN);
  switch (static_cast<int32_t>(Number(attributes, NFTA_VERDICT_CODE))) {
    case NF_ACCEPT: end.verdict = RuleVerdict::kAccept; break;
    case NF_DROP: end.verdict = RuleVerdict::kDrop; break;
    case NFT_RETURN: end.verdict = RuleVerdict::kReturn; break;
    case NFT_JUMP: end.verdict = RuleVerdict::kJump; break;
    case NFT_GOTO: end.verdict = RuleVerdict::kGoto; break;
    case NFT_CONTINUE: end.verdict = RuleVerdict::kNone; break;
    default: end.verdict = RuleVerdict::kElsewhere; break;
  }
  return end;
}

std::vector<RuleStep> StepsOf(const nlattr* expressions) {
  std::vector<RuleStep> steps;
  EachNested(expressions, [&](const nlattr* element) {
    RuleStep step = StepOf(element);
    const bool says_nothing = step.kind == RuleStep::kEnd && step.end.verdict == RuleVerdict::kNone;
    if (!says_nothing) steps.push_back(std::move(step));
  });
  return steps;
}

}  // namespace ripstop::agent
