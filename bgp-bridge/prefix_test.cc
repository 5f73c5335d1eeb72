// SPDX-License-Identifier: Apache-2.0
#include "bgp-bridge/prefix.h"

#include <gtest/gtest.h>

namespace ripstop::bgp {
namespace {

TEST(PrefixTest, PrintsTheCanonicalSpelling) {
  EXPECT_EQ(ParsePrefix("192.0.2.77/24")->ToString(), "192.0.2.77/24");
  EXPECT_EQ(ParsePrefix("192.0.2.77/24")->Masked().ToString(), "192.0.2.0/24");
  EXPECT_EQ(ParsePrefix("192.0.2.77")->ToString(), "192.0.2.77/32");
  EXPECT_EQ(ParsePrefix("2001:DB8:0:0::1/33")->Masked().ToString(), "2001:db8::/33");
  EXPECT_EQ(ParsePrefix("0.0.0.0/0")->Masked().ToString(), "0.0.0.0/0");
  EXPECT_EQ(ParseAddress("2001:db8::1")->Address(), "2001:db8::1");
}

TEST(PrefixTest, RefusesEverythingElse) {
  for (const char* bad :
       {"", "192.0.2", "192.0.2.1/33", "192.0.2.1/", "192.0.2.1/+1", "192.0.2.1/ 1",
        "2001:db8::/129", "192.0.2.1; }", "192.0.2.1\n", " 192.0.2.1", "fe80::1%eth0",
        "192.0.2.1/24/24", "192.0.2.01x", "192.0.2.1/0x8"})
    EXPECT_EQ(ParsePrefix(bad).status().code(), absl::StatusCode::kInvalidArgument) << bad;
  EXPECT_FALSE(ParsePrefix(absl::string_view("192.0.2.1\0; }", 13)).ok());
  EXPECT_FALSE(ParseAddress("192.0.2.1/32").ok());
}

TEST(PrefixTest, ContainsComparesFamiliesLengthsAndBits) {
  const Prefix subnet = ParsePrefix("192.0.2.1/25").value();
  EXPECT_TRUE(subnet.Contains(ParsePrefix("192.0.2.127").value()));
  EXPECT_FALSE(subnet.Contains(ParsePrefix("192.0.2.128").value()));
  EXPECT_FALSE(subnet.Contains(ParsePrefix("192.0.2.0/24").value()));
  EXPECT_FALSE(ParsePrefix("0.0.0.0/0")->Contains(ParsePrefix("::1").value()));
}

}  // namespace
}  // namespace ripstop::bgp
