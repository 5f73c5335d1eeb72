// SPDX-License-Identifier: Apache-2.0
#include "policy/address.h"

#include <gtest/gtest.h>

namespace ripstop::policy {
namespace {

Cidr C(std::string_view text) { return *Cidr::Parse(text); }
Address A(std::string_view text) { return *Address::Parse(text); }

TEST(Address, MappedTextReadsAsIpv4) {
  EXPECT_EQ(A("::ffff:192.0.2.1"), A("192.0.2.1"));
  EXPECT_EQ(A("192.0.2.1").ToString(), "192.0.2.1");
  EXPECT_EQ(Address::FromV4(0xc0000201), A("192.0.2.1"));
  EXPECT_EQ(A("2001:DB8:0:0::1").ToString(), "2001:db8::1");
}

TEST(Address, RefusesWhatIsNotAnAddress) {
  for (const char* text :
       {"", "192.0.2", "192.0.2.256", "192.0.2.01", "fe80::1%eth0", "::g", "1 "}) {
    EXPECT_FALSE(Address::Parse(text).ok()) << text;
  }
  EXPECT_FALSE(Address::Parse(std::string_view("192.0.2.1\0x", 11)).ok());
}

TEST(Cidr, MasksHostBitsAndReadsMappedAndBareForms) {
  EXPECT_EQ(C("10.0.0.5/8").ToString(), "10.0.0.0/8");
  EXPECT_EQ(C("::ffff:10.0.0.0/104"), C("10.0.0.0/8"));
  EXPECT_EQ(C("192.0.2.7").ToString(), "192.0.2.7/32");
  EXPECT_EQ(C("2001:db8::7").ToString(), "2001:db8::7/128");
  EXPECT_EQ(C("2001:db8:ffff::/33").ToString(), "2001:db8:8000::/33");
}

TEST(Cidr, FamiliesNeverCoverEachOther) {
  EXPECT_FALSE(C("::/0").Contains(A("192.0.2.1")));
  EXPECT_FALSE(C("0.0.0.0/0").Contains(A("2001:db8::1")));
  EXPECT_FALSE(C("::/0").Contains(C("0.0.0.0/0")));
  EXPECT_TRUE(C("0.0.0.0/0").Contains(A("192.0.2.1")));
  EXPECT_TRUE(C("::/0").Contains(A("2001:db8::1")));
  EXPECT_TRUE(C("192.0.2.0/25").Contains(A("192.0.2.127")));
  EXPECT_FALSE(C("192.0.2.0/25").Contains(A("192.0.2.128")));
}

TEST(Cidr, RefusesBadLengths) {
  for (const char* text :
       {"10.0.0.0/33", "10.0.0.0/", "10.0.0.0/-1", "::/129", "10.0.0.0/+8", "/8"}) {
    EXPECT_FALSE(Cidr::Parse(text).ok()) << text;
  }
}

}  // namespace
}  // namespace ripstop::policy
