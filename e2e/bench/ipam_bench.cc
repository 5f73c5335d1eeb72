// SPDX-License-Identifier: Apache-2.0
//
// What addresses cost a node as the cluster's blocks grow: an address from a block of its
// own, one that needs a new block, and the news of other nodes' blocks. The store is a real
// one, in a file; "in memory" leaves it out.
//   ipam_bench [--json] [--quick]
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "agent/ipam/ipam.h"
#include "agent/ipam/testing/fake_store.h"
#include "api/store/open.h"
#include "e2e/bench/report.h"
#include "policy/status_macros.h"

namespace ripstop::bench {
namespace {

using agent::Ipam;
using Clock = std::chrono::steady_clock;

constexpr int kBlockSize = 64;

bool json = false;
std::vector<int> sizes = {10, 1000, 4000};
int claims = 9, passes = 7, burst = 20'000;

double UsSince(Clock::time_point start) {
  return std::chrono::duration<double, std::micro>(Clock::now() - start).count();
}

double Median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

// The blocks of other nodes, each full, as they are when pods are many: 5.6 KB of bytes.
api::StoredResource FullBlock(int number) {
  const auto address =
      policy::Address::FromV4(0x0a000000u + kBlockSize * static_cast<uint32_t>(number));
  const std::string node = absl::StrCat("node-", number % 500);
  ipam::Block block = ipam::Block::Make(policy::Cidr::Of(address, 122), node, {});
  for (int i = 0; i < kBlockSize; ++i) {
    const std::string id = absl::StrCat("5f2f9cf1a3b0d3d5c2f0e4b1a6c7d8e9", number, "-", i);
    (void)block.Allocate({id + "/eth0", "production", absl::StrCat("checkout-", id)}, node);
  }
  return {.key = ipam::Block::KeyFor(block.cidr()), .value = block.Encode(), .revision = 1};
}

absl::Status Fill(api::Store& store, int count) {
  std::vector<api::Mutation> batch;
  for (int i = 0; i < count; ++i) {
    api::StoredResource block = FullBlock(i);
    batch.push_back({api::Mutation::Type::kPut, block.key, std::move(block.value), 0});
    if (batch.size() < 500 && i + 1 < count) continue;
    RETURN_IF_ERROR(store.Txn(batch).status());
    batch.clear();
  }
  return absl::OkStatus();
}

struct Costs {
  double claim_us = 0, own_us = 0, news_us = 0, list_us = 0, load_us = 0;
};

absl::StatusOr<Costs> Measure(const std::string& folder, int count) {
  Costs costs;
  ASSIGN_OR_RETURN(auto store,
                   api::OpenStore(absl::StrCat("sqlite://", folder, "/", count, ".db")));
  RETURN_IF_ERROR(Fill(*store, count));
  Ipam ipam(store.get(), "bench");
  RETURN_IF_ERROR(ipam.SetConfig({{{.name = "pods", .cidr = *policy::Cidr::Parse("10.0.0.0/8")}}}));
  auto start = Clock::now();
  RETURN_IF_ERROR(ipam.Load());
  costs.load_us = UsSince(start);

  std::set<policy::Cidr> blocks;
  std::vector<double> claimed, own;
  for (int i = 0; i < claims * kBlockSize; ++i) {
    const std::string handle = absl::StrCat("c", i, "/eth0");
    start = Clock::now();
    ASSIGN_OR_RETURN(const std::vector<ipam::Allocation> made,
                     ipam.Allocate({.owner = {handle, "shop", handle}}));
    const double us = UsSince(start);
    const bool is_new = blocks.insert(made.front().block).second;
    (is_new ? claimed : own).push_back(us);
  }
  costs.claim_us = Median(claimed);
  costs.own_us = Median(own);

  api::StoredResource news = FullBlock(count / 2);
  std::vector<double> heard;
  for (int i = 0; i < passes * 100; ++i) {
    news.revision = i + 1'000'000;
    start = Clock::now();
    RETURN_IF_ERROR(ipam.Note(news).status());
    heard.push_back(UsSince(start));
  }
  costs.news_us = Median(heard);

  // What a new block would cost that goes by the blocks themselves.
  std::vector<double> listed;
  for (int i = 0; i < std::min(passes, 3); ++i) {
    start = Clock::now();
    ASSIGN_OR_RETURN(const api::Listing all, store->List({ipam::kBlockKind, ""}));
    for (const api::StoredResource& item : all.items) {
      RETURN_IF_ERROR(ipam::Block::Decode(item).status());
    }
    listed.push_back(UsSince(start));
  }
  costs.list_us = Median(listed);
  return costs;
}

double ProcessorSeconds() {
  timespec now{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) / 1e9;
}

// Addresses per second of processor time where the store takes none.
absl::StatusOr<double> Rate() {
  agent::FakeStore store;
  Ipam ipam(&store, "bench");
  RETURN_IF_ERROR(ipam.SetConfig({{{.name = "pods", .cidr = *policy::Cidr::Parse("10.0.0.0/8")}}}));
  RETURN_IF_ERROR(ipam.Load());
  const double start = ProcessorSeconds();
  for (int i = 0; i < burst; ++i) {
    const std::string handle = absl::StrCat("c", i, "/eth0");
    RETURN_IF_ERROR(ipam.Allocate({.owner = {handle, "shop", handle}}).status());
  }
  return burst / (ProcessorSeconds() - start);
}

absl::Status Run() {
  char folder[] = "/tmp/ripstop-ipam-bench-XXXXXX";
  if (mkdtemp(folder) == nullptr) return absl::InternalError("cannot make a folder in /tmp");
  std::vector<Costs> curve;
  absl::Status status;
  for (const int size : sizes) {
    const auto costs = Measure(folder, size);
    if (!costs.ok()) {
      status = costs.status();
      break;
    }
    const std::string known = absl::StrCat(size, " blocks known");
    Print({absl::StrCat("address that needs a new block, ", known), costs->claim_us / 1000, "ms",
           20, false, ""},
          json);
    Print({absl::StrCat("address from an own block, ", known), costs->own_us / 1000, "ms", 0, false,
           ""},
          json);
    Print(
        {absl::StrCat("news of another node's block, ", known), costs->news_us, "us", 0, false, ""},
        json);
    Print({absl::StrCat("all blocks listed and decoded, ", known), costs->list_us / 1000, "ms", 0,
           false, "what a new block would cost that goes by the blocks themselves"},
          json);
    Print({absl::StrCat("start: all blocks read, ", known), costs->load_us / 1000, "ms", 0, false,
           ""},
          json);
    curve.push_back(*costs);
  }
  std::error_code ignored;
  std::filesystem::remove_all(folder, ignored);
  RETURN_IF_ERROR(status);
  Print({absl::StrCat("new block: ", sizes.back(), " blocks known / ", sizes.front()),
         curve.back().claim_us / curve.front().claim_us, "x", 1.2, false, ""},
        json);
  ASSIGN_OR_RETURN(const double rate, Rate());
  Print({"addresses per second, in memory", rate, "/s", 20'000, true, ""}, json);
  return absl::OkStatus();
}

}  // namespace
}  // namespace ripstop::bench

int main(int argc, char** argv) {
  using namespace ripstop::bench;
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    if (argument == "--json") {
      json = true;
    } else if (argument == "--quick") {
      sizes = {10, 20};
      claims = passes = 1;
      burst = 100;
    } else {
      fprintf(stderr, "usage: ipam_bench [--json] [--quick]\n");
      return 2;
    }
  }
  if (absl::Status status = Run(); !status.ok()) {
    fprintf(stderr, "ipam_bench: %s\n", std::string(status.message()).c_str());
    return 1;
  }
  return 0;
}
