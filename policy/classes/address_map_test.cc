// SPDX-License-Identifier: Apache-2.0
#include "policy/classes/address_map.h"

#include <gtest/gtest.h>

#include <map>
#include <random>
#include <string>

namespace ripstop::policy {
namespace {

// Crowded and lonely ones, in both families.
Address Random(std::mt19937& random) {
  const auto below = [&](uint32_t n) { return static_cast<uint32_t>(random() % n); };
  if (below(2) == 0) return Address::FromV4(0x0a000000 + below(3) * 0x10000 + below(600));
  Address a = *Address::Parse("2001:db8::");
  a.bytes[7] = static_cast<uint8_t>(below(3));
  a.bytes[14] = static_cast<uint8_t>(below(2));
  a.bytes[15] = static_cast<uint8_t>(below(4) == 0 ? 255 : below(256));
  return a;
}

TEST(AddressMapTest, IsAnOrderedMapWhoseValuesStayWhereTheyAre) {
  std::mt19937 random(7);
  AddressMap<std::string> map;
  std::map<Address, std::pair<std::string, std::string*>> model;
  for (int step = 0; step < 20000; ++step) {
    const Address a = Random(random);
    const auto known = model.find(a);
    ASSERT_EQ(map.Find(a), known == model.end() ? nullptr : known->second.second);
    switch (random() % 3) {
      case 0:
        map.Erase(a);
        model.erase(a);
        break;
      default: {
        std::string& value = map[a];
        EXPECT_EQ(value, known == model.end() ? "" : known->second.first);
        value = "a value too long to lie in the string itself, " + std::to_string(step);
        model[a] = {value, &value};
      }
    }
    ASSERT_EQ(map.size(), model.size());
    if (step % 500 != 0) continue;
    auto expected = model.begin();
    map.ForEach([&](const Address& address, const std::string& value) {
      ASSERT_NE(expected, model.end());
      EXPECT_EQ(address, expected->first);
      EXPECT_EQ(value, (expected++)->second.first);
    });
    EXPECT_EQ(expected, model.end());
    const auto [first, last] = std::minmax({Random(random), Random(random)});
    expected = model.lower_bound(first);
    map.ForEachIn(first, last, [&](const Address& address, const std::string&) {
      ASSERT_NE(expected, model.end());
      EXPECT_EQ(address, (expected++)->first);
    });
    EXPECT_EQ(expected, model.upper_bound(last));
  }
}

TEST(AddressMapTest, AllAddressesInOrderAndNoneWhereThereAreNone) {
  AddressMap<int> map;
  const auto count = [&](const char* first, const char* last) {
    int n = 0;
    map.ForEachIn(*Address::Parse(first), *Address::Parse(last), [&](const Address&, int) { ++n; });
    return n;
  };
  EXPECT_EQ(count("::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"), 0);
  for (const char* text : {"::", "::ff", "192.0.2.0", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"}) {
    map[*Address::Parse(text)] = 1;
  }
  EXPECT_EQ(count("::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"), 4);
  EXPECT_EQ(count("::", "::"), 1);
  EXPECT_EQ(count("::1", "::fe"), 0);
  EXPECT_EQ(count("::1", "192.0.2.0"), 2);
  EXPECT_EQ(count("192.0.2.1", "192.0.2.255"), 0);
}

}  // namespace
}  // namespace ripstop::policy
