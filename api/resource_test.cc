// SPDX-License-Identifier: Apache-2.0
#include "api/resource.h"

#include <set>

#include "api/text.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace ripstop::api {
namespace {

TEST(KindsTest, StoreKindsAreUniqueAndEveryKindHasMetadata) {
  std::set<std::string_view> seen;
  for (const KindInfo& info : AllKinds()) {
    EXPECT_TRUE(seen.insert(info.store_kind).second) << info.store_kind;
    EXPECT_NE(info.prototype->GetDescriptor()->FindFieldByName("metadata"), nullptr) << info.kind;
    EXPECT_EQ(FindStoreKind(info.store_kind), &info);
    EXPECT_EQ(FindKind(info.api_version, info.kind), &info);
  }
}

TEST(KindsTest, NoAliasNamesTwoKinds) {
  std::set<std::string> seen;
  for (const KindInfo& info : AllKinds()) {
    for (const std::string& alias : info.aliases) {
      EXPECT_TRUE(seen.insert(alias).second) << alias;
      EXPECT_EQ(FindKindByAlias(alias), &info) << alias;
    }
  }
}

TEST(KindsTest, OperatorsWordsFindTheirKind) {
  const auto store_kind = [](std::string_view word) {
    const KindInfo* info = FindKindByAlias(word);
    return info == nullptr ? std::string("none") : info->store_kind;
  };
  EXPECT_EQ(store_kind("gnp"), kKindGlobalNetworkPolicy);
  EXPECT_EQ(store_kind("networkPolicies"), kKindNetworkPolicy);
  EXPECT_EQ(store_kind("np"), kKindNetworkPolicy);
  EXPECT_EQ(store_kind("netpol"), kKindKubernetesNetworkPolicy);
  EXPECT_EQ(store_kind("networkpolicies.networking.k8s.io"), kKindKubernetesNetworkPolicy);
  EXPECT_EQ(store_kind("networkpolicy.projectcalico.org"), kKindNetworkPolicy);
  EXPECT_EQ(store_kind("BGPConfig"), kKindBGPConfiguration);
  EXPECT_EQ(store_kind("ns"), kKindNamespace);
  EXPECT_EQ(store_kind("deployments"), "none");
}

TEST(KindsTest, NearestFindsATypoAndNothingForNoise) {
  EXPECT_EQ(Nearest("selektor", {"selector", "source", "order"}), "selector");
  EXPECT_EQ(Nearest("notnets", {"nets", "notNets"}), "notNets");
  EXPECT_EQ(Nearest("zzzzzzzz", {"selector", "source"}), "");
}

TEST(ResourceTest, SerializeAndDeserializeKeepEverythingAndTakeTheRevisionFromTheStore) {
  Resource tier = Resource::Make<v1::Tier>();
  tier.mutable_metadata().set_name("security");
  tier.set_revision(7);
  tier.MutableAs<v1::Tier>()->mutable_spec()->set_order(0);
  for (const char* key : {"b", "a", "c"}) (*tier.mutable_metadata().mutable_labels())[key] = "1";

  const absl::StatusOr<Resource> back =
      Deserialize({.key = tier.key(), .value = Serialize(tier), .revision = 42});

  ASSERT_TRUE(back.ok()) << back.status();
  EXPECT_EQ(back->revision(), 42);
  EXPECT_EQ(back->key(), tier.key());
  ASSERT_NE(back->As<v1::Tier>(), nullptr);
  EXPECT_TRUE(back->As<v1::Tier>()->spec().has_order());
  EXPECT_EQ(back->metadata().labels_size(), 3);
  EXPECT_EQ(Serialize(*back), Serialize(tier)) << "the revision is no part of the value";
}

TEST(ResourceTest, ResourcesOfOneArenaOutliveWhoMadeIt) {
  auto arena = std::make_shared<google::protobuf::Arena>();
  std::vector<Resource> resources;
  for (const char* name : {"one", "another-whose-name-is-no-short-string"}) {
    Resource tier = Resource::Make<v1::Tier>();
    tier.mutable_metadata().set_name(name);
    auto read = Deserialize({.key = tier.key(), .value = Serialize(tier), .revision = 9}, arena);
    ASSERT_TRUE(read.ok()) << read.status();
    EXPECT_EQ(read->message().GetArena(), arena.get());
    EXPECT_EQ(Serialize(*read), Serialize(tier));
    resources.push_back(*std::move(read));
  }
  const std::weak_ptr<google::protobuf::Arena> watched = arena;
  arena = nullptr;
  const Resource copy = resources.back(), clone = resources.back().Clone();
  resources.clear();
  EXPECT_EQ(copy.name(), "another-whose-name-is-no-short-string") << "copies share the message";
  EXPECT_NE(copy.As<v1::Tier>(), nullptr);
  EXPECT_EQ(copy.As<v1::IPPool>(), nullptr);
  EXPECT_EQ(clone.message().GetArena(), nullptr);
  EXPECT_FALSE(watched.expired());
}

TEST(ResourceTest, ClonesAreIndependentAndAnotherKindIsNull) {
  Resource policy = Resource::Make<v1::NetworkPolicy>();
  policy.mutable_metadata().set_name("a");
  Resource copy = policy.Clone();
  copy.mutable_metadata().set_name("b");
  EXPECT_EQ(policy.name(), "a");
  EXPECT_EQ(policy.As<v1::KubernetesNetworkPolicy>(), nullptr);
}

TEST(ResourceTest, BadBytesAndUnknownKindsAreErrorsThatNameTheKey) {
  const auto unknown = Deserialize({.key = {"Widget", "shop", "w"}});
  EXPECT_EQ(unknown.status().code(), absl::StatusCode::kUnimplemented);
  EXPECT_THAT(std::string(unknown.status().message()), testing::HasSubstr("Widget shop/w"));
  const auto bytes = Deserialize({.key = {"Tier", "", "t"}, .value = "\xff\xff\xff"});
  EXPECT_EQ(bytes.status().code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(std::string(bytes.status().message()), testing::HasSubstr("Tier t"));
}

TEST(PrintableTest, WhatATerminalWouldObeyIsWrittenOut) {
  EXPECT_EQ(Printable("r\xc3\xa8gle 1 \"a\\b\" \xe2\x82\xac"),
            "r\xc3\xa8gle 1 \"a\\b\" \xe2\x82\xac");
  EXPECT_EQ(Printable("\x1b[31mred\x07\nline\x7f"), "\\x1b[31mred\\x07\\x0aline\\x7f");
  EXPECT_EQ(Printable("\xc2\x9b"
                      "2J\xc2\xa9\xc2"),
            "\\x9b2J\xc2\xa9\xc2");
}

}  // namespace
}  // namespace ripstop::api
