// SPDX-License-Identifier: Apache-2.0
#include "agent/cni/cni_service.h"

#include <spdlog/spdlog.h>

#include <set>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "api/store/store.h"

namespace ripstop::agent {
namespace {

constexpr absl::Duration kStorePatience = absl::Seconds(10);
constexpr absl::Duration kStoreRetry = absl::Milliseconds(20);

grpc::Status ToGrpc(const absl::Status& status) {
  if (status.ok()) return grpc::Status::OK;
  return grpc::Status(static_cast<grpc::StatusCode>(status.code()), std::string(status.message()));
}

grpc::Status Logged(const char* verb, const std::string& pod, const absl::Status& status) {
  if (status.ok()) {
    spdlog::info("CNI {} {}", verb, pod);
  } else {
    spdlog::warn("CNI {} {}: {}", verb, pod, status.ToString());
  }
  return ToGrpc(status);
}

std::string PodOf(const v1::CniRequest& r) {
  return absl::StrCat(r.pod_namespace(), "/", r.pod_name(), " (", r.container_id(), ")");
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
  }
  return reply;
}

grpc::Status CniService::Add(grpc::ServerContext* context, const v1::CniRequest* request,
                             v1::CniAddReply* reply) {
  const auto add = [&]() -> absl::Status {
    const absl::StatusOr<LocalEndpoint> made = endpoints_->Add(*request);
    if (made.ok()) *reply = AddReplyFor(*made);
    return made.status();
  };
  // While another writer holds the store it is waited for here, where only this ADD waits.
  const absl::Time patience = absl::Now() + kStorePatience;
  absl::Status status = loop_->CallStatus(add);
  while (api::IsStoreBusy(status) && absl::Now() < patience && !context->IsCancelled()) {
    absl::SleepFor(kStoreRetry);
    status = loop_->CallStatus(add);
  }
  return Logged("ADD", PodOf(*request), status);
}

grpc::Status CniService::Del(grpc::ServerContext*, const v1::CniRequest* request,
                             v1::CniDelReply*) {
  return Logged("DEL", PodOf(*request), loop_->CallStatus([&] {
    return endpoints_->Del(request->container_id(), request->interface_name());
  }));
}

grpc::Status CniService::Check(grpc::ServerContext*, const v1::CniRequest* request,
                               v1::CniCheckReply*) {
  return ToGrpc(loop_->CallStatus([&] { return endpoints_->Check(*request); }));
}

grpc::Status CniService::Gc(grpc::ServerContext*, const v1::CniGcRequest* request,
                            v1::CniGcReply* reply) {
  std::set<std::pair<std::string, std::string>> valid;
  for (const auto& item : request->valid()) {
    valid.emplace(item.container_id(), item.interface_name());
  }
  return Logged("GC", "", loop_->CallStatus([&]() -> absl::Status {
    const absl::StatusOr<uint32_t> removed = endpoints_->Gc(valid);
    if (removed.ok()) reply->set_removed(*removed);
    return removed.status();
  }));
}

}  // namespace ripstop::agent
