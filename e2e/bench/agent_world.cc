// SPDX-License-Identifier: Apache-2.0
#include "e2e/bench/agent_world.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "agent/cni/endpoint_manager.h"
#include "agent/daemon/workload_resource.h"
#include "api/ipam/block.h"
#include "api/resource.h"
#include "policy/status_macros.h"

namespace ripstop::bench {
namespace {

using policy::Address;
using policy::Cidr;

constexpr int kBlockSize = 64;
constexpr int kBlocksOfNode = AgentWorld::kPodsOfNode / kBlockSize + 1;
constexpr int kAddressesOfNode = kBlocksOfNode * kBlockSize;

Address V4(int number) { return Address::FromV4(0x0a000000u + static_cast<uint32_t>(number)); }

Address V6(int number) {
  Address address = *Address::Parse("fd65::");
  for (int byte = 0; byte < 4; ++byte) {
    address.bytes[15 - byte] = static_cast<uint8_t>(static_cast<uint32_t>(number) >> 8 * byte);
  }
  return address;
}

std::string NodeName(int node) { return absl::StrCat("node-", node); }
std::string Namespace(int deployment) { return absl::StrCat("ns", deployment / 20); }

// Mutations in transactions of a size that SQLite likes.
class Writer {
 public:
  explicit Writer(api::Store& store) : store_(store) {}
  absl::Status Put(api::ResourceKey key, std::string value) {
    batch_.push_back({api::Mutation::Type::kPut, std::move(key), std::move(value), 0});
    return batch_.size() < 2000 ? absl::OkStatus() : Flush();
  }
  absl::Status Put(const api::Resource& resource) {
    return Put(resource.key(), api::Serialize(resource));
  }
  absl::Status Flush() { return store_.Txn(std::exchange(batch_, {})).status(); }

 private:
  api::Store& store_;
  std::vector<api::Mutation> batch_;
};

api::Resource Node(int node) {
  api::Resource resource = api::Resource::Make<api::v1::Node>();
  resource.mutable_metadata().set_name(NodeName(node));
  resource.MutableAs<api::v1::Node>()->mutable_spec()->mutable_bgp()->set_ipv4_address(
      absl::StrCat(Address::FromV4(0xac140001u + static_cast<uint32_t>(node)).ToString(), "/16"));
  return resource;
}

api::Resource Pool(const std::string& name, const std::string& cidr, int block) {
  api::Resource resource = api::Resource::Make<api::v1::IPPool>();
  resource.mutable_metadata().set_name(name);
  auto* spec = resource.MutableAs<api::v1::IPPool>()->mutable_spec();
  spec->set_cidr(cidr);
  spec->set_block_size(block);
  spec->set_vxlan_mode("Never");
  return resource;
}

api::Resource NamespaceOf(int number) {
  api::Resource resource = api::Resource::Make<api::v1::Namespace>();
  resource.mutable_metadata().set_name(absl::StrCat("ns", number));
  (*resource.mutable_metadata().mutable_labels())["env"] = number % 2 == 0 ? "test" : "production";
  return resource;
}

api::Resource Policy(const AgentWorld& world, int number) {
  const int deployment = number % world.deployments();
  const int peer = (deployment * 7 + number) % world.deployments();
  api::Resource resource = api::Resource::Make<api::v1::NetworkPolicy>();
  resource.mutable_metadata().set_name(absl::StrCat("p", number));
  resource.mutable_metadata().set_namespace_(Namespace(deployment));
  auto* spec = resource.MutableAs<api::v1::NetworkPolicy>()->mutable_spec();
  spec->set_order(1000);
  spec->set_selector(absl::StrCat("app == 'app", deployment, "'"));
  spec->add_types("Ingress");
  auto* rule = spec->add_ingress();
  rule->set_action("Allow");
  rule->mutable_protocol()->set_text("TCP");
  rule->mutable_source()->set_selector(absl::StrCat("app == 'app", peer, "'"));
  rule->mutable_source()->set_namespace_selector(
      absl::StrCat("projectcalico.org/name == '", Namespace(peer), "'"));
  rule->mutable_destination()->mutable_ports()->add_items()->set_number(8000 + number % 50);
  return resource;
}

absl::Status PutBlocks(const AgentWorld& world, int node, Writer& writer) {
  for (int k = 0; k < kBlocksOfNode; ++k) {
    const int first = node * kAddressesOfNode + k * kBlockSize;
    for (const Cidr& cidr : {Cidr::Of(V4(first), 122), Cidr::Of(V6(first), 122)}) {
      ipam::Block block = ipam::Block::Make(cidr, NodeName(node), {});
      for (int i = k * kBlockSize; i < std::min((k + 1) * kBlockSize, AgentWorld::kPodsOfNode);
           ++i) {
        const agent::LocalEndpoint pod = PodOf(world, (node - 1) * AgentWorld::kPodsOfNode + i);
        RETURN_IF_ERROR(
            block.Allocate({pod.handle(), pod.pod_namespace, pod.pod_name}, NodeName(node))
                .status());
      }
      RETURN_IF_ERROR(writer.Put(ipam::Block::KeyFor(cidr), block.Encode()));
    }
  }
  return absl::OkStatus();
}

}  // namespace

agent::LocalEndpoint PodOf(const AgentWorld& world, int number) {
  const int deployment = number % world.deployments();
  const int node = 1 + number / AgentWorld::kPodsOfNode;
  const int address = node * kAddressesOfNode + number % AgentWorld::kPodsOfNode;
  agent::LocalEndpoint pod;
  pod.container_id = absl::StrFormat("5f2f9cf1a3b0d3d5c2f0e4b1a6c7d8e95f2f9cf1a3b0d3d5c2f0e4b1%08x",
                                     static_cast<uint32_t>(number));
  pod.interface_name = "eth0";
  pod.pod_namespace = Namespace(deployment);
  pod.pod_name = absl::StrCat("app", deployment, "-5d59d67564-", number);
  pod.service_account = "default";
  pod.labels = {{"app", absl::StrCat("app", deployment)},
                {"tier", deployment % 3 == 0 ? "front" : "back"},
                {"pod-template-hash", absl::StrCat("h", deployment)}};
  pod.ports = {{"http", policy::kProtocolTcp, 8080}};
  pod.host_interface = absl::StrFormat("cali%011x", number);
  pod.host_mac = agent::kHostMac;
  for (const Address& one : {V4(address), V6(address)}) {
    pod.allocations.push_back({one, Cidr::Of(one, 122), pod.handle(), 0});
  }
  return pod;
}

absl::Status Fill(const AgentWorld& world, api::Store& store) {
  Writer writer(store);
  RETURN_IF_ERROR(writer.Put(Pool("pods-v4", "10.0.0.0/14", 26)));
  RETURN_IF_ERROR(writer.Put(Pool("pods-v6", "fd65::/108", 122)));
  for (int n = 0; n <= world.deployments() / 20; ++n) RETURN_IF_ERROR(writer.Put(NamespaceOf(n)));
  for (int i = 0; i < world.policies; ++i) RETURN_IF_ERROR(writer.Put(Policy(world, i)));
  for (int node = 0; node < world.nodes; ++node) {
    RETURN_IF_ERROR(writer.Put(Node(node)));
    if (node > 0) RETURN_IF_ERROR(PutBlocks(world, node, writer));
  }
  for (int i = 0; i < world.pods(); ++i) {
    const std::string node = NodeName(1 + i / AgentWorld::kPodsOfNode);
    RETURN_IF_ERROR(writer.Put(agent::MakeWorkloadEndpoint(PodOf(world, i), node)));
  }
  return writer.Flush();
}

}  // namespace ripstop::bench
