// SPDX-License-Identifier: Apache-2.0
//
// The table is whole: each field that the reader takes has a row, each row is a field, and
// so is each field of ../shared/testdata/calico/fields.json.
#include "api/fields/field_table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <set>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "api/fields/field_path.h"
#include "api/kinds.h"
#include "api/proto/resources.pb.h"
#include "nlohmann/json.hpp"

namespace ripstop::api {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using testing::ElementsAre;

// Every path that a document of this message may have, but what is kept as a tree.
void AddPaths(const Descriptor* type, const std::string& prefix, std::set<std::string>* paths) {
  for (int i = 0; i < type->field_count(); ++i) {
    const FieldDescriptor* field = type->field(i);
    const std::string path = absl::StrCat(prefix, field->json_name());
    const Descriptor* inner = field->message_type();
    if (field->is_map()) {
      paths->insert(absl::StrCat(path, "{}"));
    } else if (inner == nullptr || inner == v1::IntOrString::descriptor()) {
      paths->insert(absl::StrCat(path, field->is_repeated() ? "[]" : ""));
    } else if (inner->options().GetExtension(v1::as_list)) {
      const FieldDescriptor* items = inner->field(0);
      if (items->message_type() == nullptr ||
          items->message_type() == v1::IntOrString::descriptor()) {
        paths->insert(absl::StrCat(path, "[]"));
      } else {
        AddPaths(items->message_type(), absl::StrCat(path, "[]."), paths);
      }
    } else if (inner != v1::Tree::descriptor()) {
      AddPaths(inner, absl::StrCat(path, field->is_repeated() ? "[]." : "."), paths);
    }
  }
}

TEST(FieldTableTest, EveryFieldThatIsReadHasARow) {
  for (const KindInfo& kind : AllKinds()) {
    const KindRow* row = FindKindRow(kind.api_version, kind.kind);
    ASSERT_NE(row, nullptr) << kind.store_kind;
    if (row->fields.empty()) continue;
    std::set<std::string> paths;
    AddPaths(kind.prototype->GetDescriptor(), "", &paths);
    for (const std::string& path : paths) {
      EXPECT_NE(row->Find(path), nullptr) << kind.store_kind << " " << path << " has no row";
    }
  }
}

// Such a row would promise what the reader refuses as unknown.
TEST(FieldTableTest, EveryRowOfAKindWithAMessageIsAFieldOfIt) {
  for (const KindInfo& kind : AllKinds()) {
    if (kind.prototype->GetDescriptor() == v1::KeptResource::descriptor()) continue;
    std::set<std::string> paths;
    AddPaths(kind.prototype->GetDescriptor(), "", &paths);
    for (const FieldRow& row : FindKindRow(kind.api_version, kind.kind)->fields) {
      if (row.effect == Effect::kLeftOut) continue;
      // A row for one key of a map is the map's.
      const size_t key = row.path.find('{');
      const std::string known =
          key == std::string::npos ? row.path : absl::StrCat(row.path.substr(0, key), "{}");
      const auto inside = paths.lower_bound(known);
      EXPECT_TRUE(paths.contains(known) ||
                  (inside != paths.end() && absl::StartsWith(*inside, known)))
          << kind.store_kind << " " << row.path << " is not a field";
    }
  }
}

TEST(FieldTableTest, NoRowStandsTwiceAndWhatDoesNotActSaysWhy) {
  std::set<std::pair<std::string, std::string>> kinds;
  for (const KindRow& kind : FieldTable()) {
    EXPECT_TRUE(kinds.emplace(kind.api_version, kind.kind).second) << kind.kind;
    EXPECT_EQ(kind.fields.size(), kind.by_path.size()) << kind.kind;
    for (const FieldRow& row : kind.fields) {
      EXPECT_TRUE(row.effect == Effect::kActs || !row.why.empty()) << kind.kind << " " << row.path;
    }
  }
}

TEST(FieldTableTest, KindsOfWhichNothingActsSaySo) {
  EXPECT_EQ(FindKindRow("projectcalico.org/v3", "FelixConfiguration")->effect, Effect::kActs);
  EXPECT_EQ(FindKindRow("projectcalico.org/v3", "ClusterInformation")->effect, Effect::kKept);
  EXPECT_EQ(FindKindRow("projectcalico.org/v3", "BGPFilter")->effect, Effect::kKept);
  EXPECT_EQ(FindKindRow("projectcalico.org/v3", "HostEndpoint")->effect, Effect::kOffline);
  EXPECT_EQ(FindKindRow("projectcalico.org/v3", "IPPool")->effect, Effect::kActs);
  EXPECT_EQ(FindKindRow("projectcalico.org/v3", "NoSuchKind"), nullptr);
}

// A container, such as `spec` or `spec.ingress[]`, is what its fields are.
bool HasRow(const KindRow& kind, const std::string& path) {
  if (kind.Find(path) != nullptr) return true;
  for (const char* next : {".", "[", "{"}) {
    const auto inside = kind.by_path.lower_bound(absl::StrCat(path, next));
    if (inside != kind.by_path.end() && absl::StartsWith(inside->first, absl::StrCat(path, next))) {
      return true;
    }
  }
  return false;
}

TEST(FieldTableTest, EveryFieldOfCalicoHasARow) {
  std::ifstream file(RIPSTOP_SOURCE_DIR "/../shared/testdata/calico/fields.json");
  if (!file) GTEST_SKIP() << "no ../shared/testdata beside the checkout";
  const auto kinds = nlohmann::json::parse(file);
  int fields = 0;
  for (const auto& [name, kind] : kinds.items()) {
    const KindRow* row = FindKindRow("projectcalico.org/v3", name);
    ASSERT_NE(row, nullptr) << name << " is not known by name";
    for (const auto& field : kind["fields"]) {
      const std::string path = field["path"];
      EXPECT_TRUE(HasRow(*row, path)) << name << " " << path << " has no row";
      ++fields;
    }
  }
  EXPECT_GE(fields, 1219);
}

TEST(FieldPathTest, StepsAreNamesListsAndMaps) {
  EXPECT_THAT(SplitFieldPath("spec.nets[]"),
              ElementsAre(PathStep{"spec"}, PathStep{.name = "nets", .items = true}));
  EXPECT_THAT(SplitFieldPath("metadata.annotations{a.b/c}"),
              ElementsAre(PathStep{"metadata"},
                          PathStep{.name = "annotations", .values = true, .key = "a.b/c"}));
  EXPECT_THAT(SplitFieldPath("a[].b{}"), ElementsAre(PathStep{.name = "a", .items = true},
                                                     PathStep{.name = "b", .values = true}));
}

}  // namespace
}  // namespace ripstop::api
