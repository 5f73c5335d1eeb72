// SPDX-License-Identifier: Apache-2.0
#include <cstdlib>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "e2e/attacks/group_d.h"
#include "e2e/attacks/shot.h"
#include "policy/status_macros.h"

namespace ripstop::attacks {

using absl::StrCat;

namespace {

// A datagram of mallory to bob.
struct Sent {
  Arrived arrived;
  Bytes packet;
};
absl::StatusOr<Sent> ToBob(Ground& ground, const Variant& v, uint16_t port) {
  static uint16_t from_port = 30000;
  const Bytes marker = Marker();
  const std::string bob = ground.Victim(v.path);
  ASSIGN_OR_RETURN(Arrived arrived, Captured(ground, bob, marker));
  return Sent{std::move(arrived), Udp(ground.Address(kMallory, v.family),
                                      ground.Address(bob, v.family), ++from_port, port, marker)};
}

}  // namespace

int Number(const char* name, int otherwise) {
  int number = otherwise;
  const char* text = std::getenv(name);
  if (text != nullptr && !absl::SimpleAtoi(text, &number)) return otherwise;
  return number;
}

absl::Status ClosedPortIsReached(Ground& ground, const Variant& v) {
  ASSIGN_OR_RETURN(const Sent sent, ToBob(ground, v, kClosedPort));
  ASSIGN_OR_RETURN(const Mac mac, ground.HostMac(kMallory));
  RETURN_IF_ERROR(SendPackets(ground, kMallory, "eth0", mac, {sent.packet}));
  if (Await(sent.arrived)) return absl::OkStatus();
  return absl::FailedPreconditionError("the closed port was not reached");
}

absl::Status PolicyHolds(Ground& ground, const Variant& v) {
  ASSIGN_OR_RETURN(const Sent denied, ToBob(ground, v, kClosedPort));
  ASSIGN_OR_RETURN(const Sent allowed, ToBob(ground, v, kOpenPort));
  ASSIGN_OR_RETURN(const Mac mac, ground.HostMac(kMallory));
  RETURN_IF_ERROR(
      SendPackets(ground, kMallory, "eth0", mac, {denied.packet, denied.packet, allowed.packet}));
  if (!Await(allowed.arrived)) return absl::InternalError("what is allowed did not arrive");
  if (denied.arrived()) return absl::InternalError("what is denied ARRIVED");
  return absl::OkStatus();
}

absl::StatusOr<lab::LiveFlow> AliceToBob(Ground& ground, const Variant& v, const char* protocol,
                                         uint16_t port) {
  ASSIGN_OR_RETURN(
      lab::LiveFlow live,
      lab::LiveFlow::Start(ground.lab(), {kAlice, ground.Victim(v.path), protocol, port, v.family},
                           {}));
  RETURN_IF_ERROR(live.WaitFor("connected").status());
  return live;
}

absl::Status NothingLost(const lab::LiveFlow& live) {
  RETURN_IF_ERROR(live.WaitForMore(50));
  ASSIGN_OR_RETURN(const auto end, live.Finish());
  if (end.value("lost", -1) == 0) return absl::OkStatus();
  return absl::InternalError(StrCat("alice's flow lost packets: ", end.dump()));
}

absl::Status CountedAsDenied(Ground& ground, const Variant& v, Ground::Drops before) {
  const std::pair<std::string, std::string> denied = {ground.NodeOf(v.path), "policy-ingress"};
  ASSIGN_OR_RETURN(Ground::Drops after, ground.DropsNow());
  if (after[denied] <= before[denied]) return absl::InternalError("not counted as policy-ingress");
  after[denied] = before[denied];
  if (after == before) return absl::OkStatus();
  return absl::InternalError("other reasons rose too");
}

lab::Pod Kid() {
  lab::Pod pod;
  pod.ns = "attack";
  pod.name = "kid";
  pod.node = "node1";
  pod.labels = {{"app", "kid"}};
  return pod;
}

}  // namespace ripstop::attacks
