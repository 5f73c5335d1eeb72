// SPDX-License-Identifier: Apache-2.0
#include "agent/cni/cni_service.h"

#include <spdlog/spdlog.h>

#include <set>
#include <string>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "api/store/store.h"

namespace ripstop::agent {
namespace {

absl::Status Logged(const char* verb, const std::string& pod, const absl::Status& status) {
  if (status.ok()) {
    spdlog::info("CNI {} {}", verb, pod);
  } else {
    spdlog::warn("CNI {} {}: {}", verb, pod, status.ToString());
  }
  return status;
}

std::string PodOf(const v1::CniRequest& r) {
  // Not asked about yet: a name may hold anything, also what would look like another line.
  const auto shown = [](const std::string& text) { return absl::CHexEscape(text.substr(0, 253)); };
  return absl::StrCat(shown(r.pod_namespace()), "/", shown(r.pod_name()), " (",
                      shown(r.container_id()), " ", shown(r.interface_name()), ")");
}

}  // namespace

v1::CniAddReply AddReplyFor(const LocalEndpoint& endpoint) {
  v1::CniAddReply reply;
  reply.set_host_interface(endpoint.host_interface);
  reply.set_host_mac(endpoint.host_mac.ToString());
  reply.set_container_mac(endpoint.container_mac.ToString());
  reply.set_mtu(endpoint.mtu);
  for (const policy::Address& address : endpoint.addresses()) {
    v1::CniAddReply::Ip* ip = reply.add_ips();
    ip->set_address(absl::StrCat(address.ToString(), address.is_v4() ? "/32" : "/128"));
    ip->set_gateway(address.is_v4() ? kGatewayV4 : kGatewayV6);
    ip->set_default_route(endpoint.default_route(address.is_v4()));
  }
  return reply;
}

CniOutcome CniService::Handle(const v1::CniCall& call) {
  CniOutcome outcome;
  const absl::Status status = Run(call, outcome.answer);
  outcome.answer.set_code(static_cast<int>(status.code()));
  outcome.answer.set_message(std::string(status.message()));
  // Another writer holds the store for a moment: only this call waits for that.
  outcome.not_now = api::IsStoreBusy(status);
  return outcome;
}

absl::Status CniService::Run(const v1::CniCall& call, v1::CniAnswer& answer) {
  switch (call.call_case()) {
    case v1::CniCall::kAdd:
      return Logged("ADD", PodOf(call.add()), Add(call.add(), *answer.mutable_add()));
    case v1::CniCall::kDel: return Logged("DEL", PodOf(call.del()), endpoints_->Del(call.del()));
    case v1::CniCall::kCheck: return endpoints_->Check(call.check());
    case v1::CniCall::kGc:
      return Logged("GC", absl::CHexEscape(call.gc().network()),
                    Gc(call.gc(), *answer.mutable_gc()));
    case v1::CniCall::kStatus: return ready_();
    case v1::CniCall::CALL_NOT_SET: break;
  }
  return absl::UnimplementedError("no call");
}

absl::Status CniService::Add(const v1::CniRequest& request, v1::CniAddReply& reply) {
  const absl::StatusOr<LocalEndpoint> made = endpoints_->Add(request);
  if (made.ok()) reply = AddReplyFor(*made);
  return made.status();
}

absl::Status CniService::Gc(const v1::CniGcRequest& request, v1::CniGcReply& reply) {
  std::set<std::pair<std::string, std::string>> valid;
  for (const auto& item : request.valid()) {
    valid.emplace(item.container_id(), item.interface_name());
  }
  const absl::StatusOr<uint32_t> removed = endpoints_->Gc(request.network(), valid);
  if (removed.ok()) reply.set_removed(*removed);
  return removed.status();
}

}  // namespace ripstop::agent
