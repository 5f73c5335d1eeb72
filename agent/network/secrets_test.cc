// SPDX-License-Identifier: Apache-2.0
#include "agent/network/secrets.h"

#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace ripstop::agent {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::SizeIs;

class SecretFilesTest : public testing::Test {
 protected:
  SecretFilesTest() {
    char name[] = "/tmp/ripstop-secrets-XXXXXX";
    top_ = mkdtemp(name);
    folder_ = top_ + "/secrets";
  }
  ~SecretFilesTest() override {
    std::error_code ignored;
    fs::remove_all(top_, ignored);
  }
  void Write(const std::string& path, const std::string& text, mode_t mode = 0600) {
    const std::string full = folder_ + "/" + path;
    fs::create_directories(fs::path(full).parent_path());
    std::ofstream(full) << text;
    chmod(full.c_str(), mode);
  }
  std::string Why(const absl::StatusOr<std::string>& secret) {
    EXPECT_FALSE(secret.ok());
    return std::string(secret.status().message());
  }
  static bool Woken(SecretFiles& secrets) {
    pollfd poll_fd{secrets.fd(), POLLIN, 0};
    const bool woken = poll(&poll_fd, 1, 120'000) == 1;
    secrets.TakeEvents();
    return woken;
  }
  std::string top_, folder_;
};

TEST_F(SecretFilesTest, ASecretIsALineOfAFileOfItsOwnersAlone) {
  Write("bgp/tor", "s3cret pass\n");
  Write("bgp/windows", "s3cret\r\n", 0400);
  SecretFiles secrets(folder_);
  EXPECT_EQ(secrets.Read("bgp", "tor").value(), "s3cret pass");
  EXPECT_EQ(secrets.Read("bgp", "windows").value(), "s3cret");
  EXPECT_THAT(secrets.problems(), IsEmpty());
}

TEST_F(SecretFilesTest, AFileThatOthersMayReadIsRefusedWithoutItsText) {
  Write("bgp/tor", "s3cret", 0640);
  SecretFiles secrets(folder_);
  const std::string why = Why(secrets.Read("bgp", "tor"));
  EXPECT_THAT(why, HasSubstr("bgp/tor: others may read or write it; chmod 600 it"));
  EXPECT_THAT(why, Not(HasSubstr("s3cret")));
}

TEST_F(SecretFilesTest, WhatIsMissingEmptyTooLongOrNoFileIsNamed) {
  SecretFiles secrets(folder_);
  EXPECT_NE(Why(secrets.Read("bgp", "tor")), "") << "no folder at all";
  Write("bgp/empty", "\n");
  Write("bgp/long", std::string(5000, 'x'));
  fs::create_directories(folder_ + "/bgp/folder");
  ASSERT_EQ(mkfifo((folder_ + "/bgp/fifo").c_str(), 0600), 0);
  EXPECT_TRUE(absl::IsNotFound(secrets.Read("bgp", "tor").status()));
  EXPECT_THAT(Why(secrets.Read("bgp", "tor")), HasSubstr("write it there, mode 0600"));
  EXPECT_THAT(Why(secrets.Read("bgp", "empty")), HasSubstr("is empty"));
  EXPECT_THAT(Why(secrets.Read("bgp", "long")), HasSubstr("longer than 4096"));
  EXPECT_THAT(Why(secrets.Read("bgp", "folder")), HasSubstr("not a regular file"));
  EXPECT_THAT(Why(secrets.Read("bgp", "fifo")), HasSubstr("not a regular file"));
}

TEST_F(SecretFilesTest, NoNameLeadsOutOfTheFolder) {
  Write("bgp/tor", "in");
  std::ofstream(top_ + "/outside") << "out";
  chmod((top_ + "/outside").c_str(), 0600);
  SecretFiles secrets(folder_);
  for (const auto& [name, key] :
       {std::pair("..", "outside"), std::pair(".", "bgp/tor"), std::pair("bgp", "../../outside"),
        std::pair("bgp/../..", "outside"), std::pair("", "tor"), std::pair("bgp", "")}) {
    EXPECT_TRUE(absl::IsInvalidArgument(secrets.Read(name, key).status())) << name << " " << key;
  }
  fs::create_symlink(top_ + "/outside", folder_ + "/bgp/link");
  EXPECT_FALSE(secrets.Read("bgp", "link").ok());
  // As Kubernetes mounts secrets.
  Write("mounted/..2026/key", "kept");
  fs::create_symlink("..2026", folder_ + "/mounted/..data");
  fs::create_symlink("..data/key", folder_ + "/mounted/key");
  EXPECT_EQ(secrets.Read("mounted", "key").value(), "kept");
}

TEST_F(SecretFilesTest, AChangeWakesAndIsReadAnew) {
  SecretFiles secrets(folder_);
  (void)secrets.Read("bgp", "tor");
  EXPECT_FALSE(secrets.HaveChanged());
  Write("bgp/tor", "one");
  EXPECT_TRUE(Woken(secrets)) << "the folder came";
  EXPECT_TRUE(secrets.HaveChanged());
  secrets.Begin();
  EXPECT_EQ(secrets.Read("bgp", "tor").value(), "one");
  EXPECT_FALSE(secrets.HaveChanged());
  Write("bgp/tor.new", "two");
  fs::rename(folder_ + "/bgp/tor.new", folder_ + "/bgp/tor");
  EXPECT_TRUE(Woken(secrets));
  EXPECT_TRUE(secrets.HaveChanged());
  EXPECT_EQ(secrets.Read("bgp", "tor").value(), "two");
}

TEST_F(SecretFilesTest, TheLastValueStaysWhileTheFileCannotBeRead) {
  Write("bgp/tor", "one");
  SecretFiles secrets(folder_);
  EXPECT_EQ(secrets.Read("bgp", "tor").value(), "one");
  fs::remove(folder_ + "/bgp/tor");
  secrets.Begin();
  EXPECT_EQ(secrets.Read("bgp", "tor").value(), "one");
  ASSERT_THAT(secrets.problems(), SizeIs(1));
  EXPECT_THAT(secrets.problems()[0], HasSubstr("secret bgp/tor: its last value is used: "));
  EXPECT_THAT(secrets.problems()[0], Not(HasSubstr("one")));
  Write("bgp/tor", "two");
  secrets.Begin();
  EXPECT_EQ(secrets.Read("bgp", "tor").value(), "two");
  EXPECT_THAT(secrets.problems(), IsEmpty());
}

}  // namespace
}  // namespace ripstop::agent
