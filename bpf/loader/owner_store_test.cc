// SPDX-License-Identifier: Apache-2.0
#include "bpf/loader/owner_store.h"

#include <bpf/bpf.h>

#include <optional>
#include <set>

#include "absl/strings/str_cat.h"
#include "bpf/loader/table_store.h"
#include "bpf/loader/testing_bpffs.h"
#include "gtest/gtest.h"

namespace ripstop::loader {
namespace {

policy::Cidr Net(const char* text) { return policy::Cidr::Parse(text).value(); }
policy::Address Addr(const char* text) { return policy::Address::Parse(text).value(); }
Owner Node(const char* vtep, uint32_t flags = 0) {
  return {Owner::Who::kOtherNode, Addr(vtep), flags};
}

class OwnerStoreTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto bpffs = testing::TestBpffs::Mount();
    if (absl::IsPermissionDenied(bpffs.status())) GTEST_SKIP() << bpffs.status();
    ASSERT_TRUE(bpffs.ok()) << bpffs.status();
    bpffs_ = *std::move(bpffs);
    Start();
  }
  // An agent begins, on the maps that the last one pinned.
  void Start() {
    auto object = DatapathObject::Load({}, bpffs_->dir() + "/maps");
    if (absl::IsPermissionDenied(object.status()))
      GTEST_SKIP() << "needs CAP_BPF and CAP_NET_ADMIN";
    ASSERT_TRUE(object.ok()) << object.status();
    object_ = *std::move(object);
    store_.emplace(object_.get());
  }
  void Set(const Owners& owners) {
    const absl::Status set = store_->Set(owners);
    ASSERT_TRUE(set.ok()) << set;
  }
  std::optional<uint32_t> Number(const char* vtep) const {
    const ip_address key = ToKey(Addr(vtep));
    vtep_value value;
    if (bpf_map_lookup_elem(object_->vteps(), &key, &value) != 0) return std::nullopt;
    return value.node;
  }
  // Node number of the longest prefix.
  std::optional<uint32_t> OwnerOf(const char* address) const {
    const owner_key key = {.bits = 128, .address = ToKey(Addr(address))};
    owner_value value;
    if (bpf_map_lookup_elem(object_->owners(), &key, &value) != 0) return std::nullopt;
    return value.node;
  }
  uint32_t epoch() const { return object_->state()->owners_epoch; }

  std::unique_ptr<testing::TestBpffs> bpffs_;
  std::unique_ptr<DatapathObject> object_;
  std::optional<OwnerStore> store_;
};

TEST_F(OwnerStoreTest, ExternalSendersAreDifferencesAlsoForTheNextProcess) {
  const auto listed = [this](const char* address) {
    const owner_key key = {.bits = 128, .address = ToKey(Addr(address))};
    external_value value;
    return bpf_map_lookup_elem(object_->externals(), &key, &value) == 0;
  };
  ASSERT_TRUE(store_->SetExternals({Net("203.0.113.0/24"), Net("2001:db8::9/128")}).ok());
  Start();
  EXPECT_TRUE(listed("203.0.113.9"));
  ASSERT_TRUE(store_->SetExternals({Net("198.51.100.1/32")}).ok());
  EXPECT_FALSE(listed("203.0.113.9")) << "what the last agent listed goes";
  EXPECT_FALSE(listed("2001:db8::9"));
  EXPECT_TRUE(listed("198.51.100.1"));
  std::set<policy::Cidr> many;
  for (uint32_t i = 0; i <= EXTERNALS_MAX; ++i) {
    many.insert(Net(absl::StrCat("10.0.", i / 256, ".", i % 256, "/32").c_str()));
  }
  const absl::Status full = store_->SetExternals(many);
  EXPECT_TRUE(absl::IsResourceExhausted(full)) << full;
}

TEST_F(OwnerStoreTest, TheLongestPrefixOwns) {
  Set({{Net("10.65.0.0/16"), {}},
       {Net("10.65.1.0/26"), {Owner::Who::kThisNode, {}, OWNER_TUNNEL_NEAR | OWNER_TUNNEL_ACROSS}},
       {Net("10.65.2.0/26"), Node("192.0.2.2")},
       {Net("10.65.2.9/32"), Node("192.0.2.3")},
       {Net("2001:db8:2::/122"), Node("192.0.2.2")}});
  EXPECT_EQ(OwnerOf("10.65.9.9"), OWNER_NOBODY);
  EXPECT_EQ(OwnerOf("10.65.1.7"), OWNER_THIS_NODE);
  EXPECT_EQ(OwnerOf("10.65.2.8"), Number("192.0.2.2"));
  EXPECT_EQ(OwnerOf("10.65.2.9"), Number("192.0.2.3"));
  EXPECT_EQ(OwnerOf("2001:db8:2::3f"), Number("192.0.2.2"));
  EXPECT_EQ(OwnerOf("2001:db8:2::40"), std::nullopt);
  EXPECT_EQ(OwnerOf("203.0.113.1"), std::nullopt);
}

TEST_F(OwnerStoreTest, WhatIsNoLongerOwnedGoesAndTheNodeWithIt) {
  Set({{Net("10.65.2.0/26"), Node("192.0.2.2")}, {Net("10.65.3.0/26"), Node("192.0.2.3")}});
  const auto c = Number("192.0.2.3");
  Set({{Net("10.65.3.0/26"), Node("192.0.2.3")}});
  EXPECT_EQ(OwnerOf("10.65.2.1"), std::nullopt);
  EXPECT_EQ(Number("192.0.2.2"), std::nullopt);
  EXPECT_EQ(Number("192.0.2.3"), c);
  Set({});
  EXPECT_EQ(Number("192.0.2.3"), std::nullopt);
}

TEST_F(OwnerStoreTest, TheEpochMovesWithEachChangeAndOnlyThen) {
  EXPECT_EQ(epoch(), 0u);
  const Owners owners = {{Net("10.65.2.0/26"), Node("192.0.2.2")}};
  Set(owners);
  const uint32_t first = epoch();
  EXPECT_NE(first, 0u);
  Set(owners);
  EXPECT_EQ(epoch(), first);
  Set({{Net("10.65.2.0/26"), Node("192.0.2.2", OWNER_ACROSS)}});
  EXPECT_NE(epoch(), first);
  object_->state()->owners_epoch = ~0u;
  Set({});
  EXPECT_NE(epoch(), 0u) << "0 would say that nothing is checked";
}

TEST_F(OwnerStoreTest, ANewProcessKeepsTheNumbersAndWritesTheDifference) {
  Set({{Net("10.65.2.0/26"), Node("192.0.2.2")}, {Net("10.65.3.0/26"), Node("192.0.2.3")}});
  const auto b = Number("192.0.2.2"), c = Number("192.0.2.3");
  const uint32_t before = epoch();
  Start();
  Set({{Net("10.65.2.0/26"), Node("192.0.2.2")}, {Net("10.65.3.0/26"), Node("192.0.2.3")}});
  EXPECT_EQ(epoch(), before);
  Set({{Net("10.65.3.0/26"), Node("192.0.2.3")}, {Net("10.65.4.0/26"), Node("192.0.2.4")}});
  EXPECT_EQ(Number("192.0.2.2"), std::nullopt);
  EXPECT_EQ(OwnerOf("10.65.2.1"), std::nullopt);
  EXPECT_EQ(Number("192.0.2.3"), c);
  EXPECT_NE(Number("192.0.2.4"), b) << "a number just given up is not given to another node";
  EXPECT_NE(Number("192.0.2.4"), c);
}

}  // namespace
}  // namespace ripstop::loader
