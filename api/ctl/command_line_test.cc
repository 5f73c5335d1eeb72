// SPDX-License-Identifier: Apache-2.0
//
// The command line's first answers: what is typed before anything works.
#include <gmock/gmock.h>
#include <sys/wait.h>
#include <unistd.h>

#include <set>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "api/ctl/testing.h"
#include "api/kinds.h"

namespace ripstop::ctl {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

constexpr char kSet[] =
    "{apiVersion: projectcalico.org/v3, kind: NetworkSet, metadata: {name: lan, namespace: shop}, "
    "spec: {nets: [192.0.2.0/24]}}\n";

class CommandLineTest : public CtlTest {
 protected:
  // Without --store behind it.
  int Bare(const std::vector<std::string>& arguments, std::ostream& out) {
    std::istringstream in;
    std::ostringstream err;
    const int code = ctl::Run(arguments, {in, out, err});
    err_ = err.str();
    return code;
  }
  int Bare(const std::vector<std::string>& arguments) {
    std::ostringstream out;
    const int code = Bare(arguments, out);
    out_ = out.str();
    return code;
  }
};

TEST_F(CommandLineTest, UnknownVerbsAreNamedWithTheNearest) {
  EXPECT_EQ(Bare({"aply", "-f", "x.yaml"}), kExitUsage);
  EXPECT_EQ(err_,
            "Error: `ripstopctl` has no command \"aply\"; did you mean apply?\n"
            "Run ripstopctl help for what there is.\n");
  EXPECT_EQ(Bare({"frobnicate"}), kExitUsage);
  EXPECT_THAT(err_, HasSubstr("no command \"frobnicate\"; known: apply, create, replace"));
  EXPECT_EQ(Bare({"node", "stats"}), kExitUsage);
  EXPECT_THAT(err_, HasSubstr("`ripstopctl node` has no command \"stats\"; did you mean status?"));
  EXPECT_EQ(Bare({"policy", "table"}), kExitUsage);
  EXPECT_THAT(err_, HasSubstr("did you mean tables?"));
}

TEST_F(CommandLineTest, HelpOfWhatIsNotThereIsNoHelp) {
  for (const std::vector<std::string>& words :
       {std::vector<std::string>{"help", "aply"}, {"aply", "--help"}, {"--help", "aply"}}) {
    EXPECT_EQ(Bare(words), kExitUsage);
    EXPECT_EQ(out_, "");
    EXPECT_THAT(err_, StartsWith("Error: `ripstopctl` has no command \"aply\"; did you mean "
                                 "apply?\n"));
  }
  EXPECT_EQ(Bare({"help", "nosuch"}), kExitUsage);
  EXPECT_THAT(err_, HasSubstr("no command \"nosuch\"; known: apply, create, replace"));
  EXPECT_EQ(Bare({"help", "node", "stats"}), kExitUsage);
  EXPECT_THAT(err_, HasSubstr("did you mean status?"));
  EXPECT_EQ(Bare({"help", "help"}), kExitOk);
  EXPECT_EQ(Bare({"help", "get", "nodes"}), kExitOk);
}

TEST_F(CommandLineTest, WhatAVerbCannotDoWithoutIsNamed) {
  EXPECT_EQ(Bare({"get"}), kExitUsage);
  EXPECT_EQ(err_,
            "Error: `ripstopctl get` wants KIND [NAME…], or KIND/NAME…; \"all\" is every kind\n"
            "Run ripstopctl help get for what there is.\n");
  EXPECT_EQ(Bare({"help", "get"}), kExitOk);
  EXPECT_THAT(out_, HasSubstr("Kinds: nodes, ippools, networkpolicies"));
  EXPECT_EQ(Bare({"apply"}), kExitUsage);
  EXPECT_THAT(err_, StartsWith("Error: `ripstopctl apply` wants -f, --filename FILE|DIR|-"));
  EXPECT_EQ(Bare({"node"}), kExitUsage);
  EXPECT_THAT(err_, StartsWith("Error: `ripstopctl node` wants a command: status"));
  EXPECT_THAT(err_, HasSubstr("Run ripstopctl help node for"));
  EXPECT_EQ(Bare({"why", "--from", "shop/a"}), kExitUsage);
  EXPECT_THAT(err_, StartsWith("Error: `ripstopctl why` wants --to TEXT: namespace/pod"));
  EXPECT_EQ(Bare({"get", "nodes", "-o", "xml"}), kExitUsage);
  EXPECT_THAT(err_, StartsWith("Error: --output: xml not in {table"));
}

TEST_F(CommandLineTest, ALetterIsNearToNoOtherAndABeginningIsNearToTheWhole) {
  EXPECT_EQ(Bare({"drops", "-n=x"}), kExitUsage);
  EXPECT_THAT(err_, AllOf(StartsWith("Error: `ripstopctl drops` has no flag -n; known: "),
                          HasSubstr("--pod"), HasSubstr("-o, --output"), HasSubstr("; -h, --help"),
                          Not(HasSubstr("mean"))));
  EXPECT_EQ(Bare({"get", "--hlp"}), kExitUsage);
  EXPECT_THAT(err_, HasSubstr("; did you mean -h, --help?"));
  // kubectl takes its flags before the command too.
  EXPECT_EQ(Bare({"-n", "shop", "get", "pods"}), kExitUsage);
  EXPECT_THAT(err_, StartsWith("Error: -n belongs behind the command: `ripstopctl get -n …`"));
  for (const char* flag : {"--file", "--fil", "--filname"}) {
    EXPECT_EQ(Bare({"apply", flag, "x"}), kExitUsage);
    EXPECT_THAT(err_, HasSubstr("; did you mean -f, --filename?\n")) << flag;
  }
  EXPECT_EQ(Bare({"apply", "-f", "x", "--zzzzzzzz"}), kExitUsage);
  EXPECT_THAT(err_, HasSubstr("; known: -f, --filename; -n, --namespace; "));
}

TEST_F(CommandLineTest, UnknownFlagsAreNamedWithTheNearest) {
  EXPECT_EQ(Bare({"get", "nodes", "--outptu", "yaml"}), kExitUsage);
  EXPECT_THAT(err_, StartsWith("Error: `ripstopctl get` has no flag --outptu; did you mean "
                               "-o, --output?\n"));
  EXPECT_EQ(Bare({"apply", "-f", "x", "--dry-ran=true"}), kExitUsage);
  EXPECT_THAT(err_, HasSubstr("has no flag --dry-ran; did you mean --dry-run?"));
  EXPECT_EQ(Bare({"--stor", "x", "get", "nodes"}), kExitUsage);
  EXPECT_THAT(err_, HasSubstr("`ripstopctl"));
  EXPECT_THAT(err_, HasSubstr("--stor; did you mean --store?"));
  EXPECT_EQ(Bare({"get", "nodes", "-x"}), kExitUsage);
  EXPECT_THAT(err_, HasSubstr("has no flag -x"));
}

TEST_F(CommandLineTest, UnknownKindsAreNamedWithTheNearestByEveryVerb) {
  Ctl({"apply", "-f", "-"}, kSet);
  for (const char* verb : {"get", "delete"}) {
    EXPECT_EQ(Ctl({verb, "netwrkset", "lan"}), kExitUsage) << verb;
    EXPECT_THAT(err_, HasSubstr("no kind is called \"netwrkset\"; did you mean networkset"));
  }
}

TEST_F(CommandLineTest, HelpAndVersionAreFlagsAndWords) {
  for (const std::vector<std::string>& words :
       {std::vector<std::string>{"--version"}, {"version"}}) {
    EXPECT_EQ(Bare(words), kExitOk);
    EXPECT_THAT(out_, StartsWith("ripstopctl "));
  }
  for (const std::vector<std::string>& words :
       {std::vector<std::string>{"help"}, {"--help"}, {"-h"}}) {
    EXPECT_EQ(Bare(words), kExitOk);
    EXPECT_THAT(out_, AllOf(HasSubstr("apply"), HasSubstr("evaluate")));
  }
  for (const std::vector<std::string>& words :
       {std::vector<std::string>{"help", "get"}, {"get", "--help"}}) {
    EXPECT_EQ(Bare(words), kExitOk);
    EXPECT_THAT(out_, HasSubstr("--all-namespaces"));
  }
  EXPECT_EQ(Bare({"help", "node", "status"}), kExitOk);
  EXPECT_THAT(out_, HasSubstr("exits 1 when not ready"));
  EXPECT_EQ(Bare({}), kExitUsage);
}

TEST_F(CommandLineTest, ShortFlagsTakeTheirValueBehindAnEqualsSign) {
  ASSERT_EQ(Ctl({"apply", "-f", "-"}, kSet), kExitOk) << err_;
  for (const std::vector<std::string>& flags : {std::vector<std::string>{"-n=shop", "-o=name"},
                                                {"-n", "shop", "-o", "name"},
                                                {"--namespace=shop", "--output=name"},
                                                {"-nshop", "-oname"}}) {
    std::vector<std::string> words = {"get", "networksets"};
    words.insert(words.end(), flags.begin(), flags.end());
    EXPECT_EQ(Ctl(words), kExitOk) << err_;
    EXPECT_EQ(out_, "networkset.projectcalico.org/lan\n");
  }
}

TEST_F(CommandLineTest, OutputThatIsNotWrittenIsAnError) {
  std::ofstream full("/dev/full");
  EXPECT_EQ(Bare({"version"}, full), kExitError);
  EXPECT_EQ(err_, "Error: the output could not be written\n");
  std::ofstream full_too("/dev/full");
  EXPECT_EQ(Bare({"--help"}, full_too), kExitError);
}

// calicoctl's own words for its kinds, from its reference pages.
TEST_F(CommandLineTest, EveryAliasOfCalicoctlWorks) {
  const char* const kAliases[] = {
      "BGPConfiguration bgpconfiguration bgpconfigurations bgpconfig bgpconfigs",
      "BGPFilter bgpfilter bgpfilters",
      "BGPPeer bgppeer bgppeers bgpp bgpps bp bps",
      "FelixConfiguration felixconfiguration felixconfigurations felixconfig felixconfigs",
      "GlobalNetworkPolicy globalnetworkpolicy globalnetworkpolicies gnp gnps",
      "GlobalNetworkSet globalnetworkset globalnetworksets gnetsets",
      "HostEndpoint hostendpoint hostendpoints hep heps",
      "IPPool ippool ippools ipp ipps pool pools",
      "IPReservation ipreservation ipreservations reservation reservations",
      "KubeControllersConfiguration kubecontrollersconfiguration kubecontrollersconfig",
      "NetworkPolicy networkpolicy networkpolicies policy np policies pol pols",
      "NetworkSet networkset networksets netsets",
      "Node node nodes no nos",
      "Profile profile profiles pro pros",
      "StagedGlobalNetworkPolicy stagedglobalnetworkpolicy stagedglobalnetworkpolicies sgnp sgnps",
      "StagedKubernetesNetworkPolicy stagedkubernetesnetworkpolicy stagedkubernetesnetworkpolicies "
      "stagedkubernetespolicy sknp stagedkubernetespolicies skpol skpols",
      "StagedNetworkPolicy stagednetworkpolicy stagednetworkpolicies stagedpolicy snp "
      "stagedpolicies spol spols",
      "Tier tier tiers",
      "WorkloadEndpoint workloadendpoint workloadendpoints wep weps",
  };
  // Refused by name: there are never any to show.
  const std::set<std::string> kLeftOut = {"IPReservation"};
  for (const char* line : kAliases) {
    const std::vector<std::string> words = absl::StrSplit(line, ' ');
    const api::KindInfo* kind = api::FindKind("projectcalico.org/v3", words[0]);
    ASSERT_EQ(kind == nullptr, kLeftOut.contains(words[0])) << words[0];
    for (const std::string& word : words) {
      if (kind != nullptr) {
        EXPECT_EQ(api::FindKindByAlias(word), kind) << word;
        continue;
      }
      EXPECT_EQ(Ctl({"get", word}), kExitUsage) << word;
      EXPECT_THAT(err_, StartsWith(absl::StrCat("Error: ", words[0], " is known by name only")));
    }
  }
}

TEST_F(CommandLineTest, OfKindsThatAreRefusedGetSaysWhy) {
  for (const char* verb : {"get", "delete"}) {
    EXPECT_EQ(Ctl({verb, "ipreservations", "r"}), kExitUsage);
    EXPECT_EQ(err_,
              "Error: IPReservation is known by name only, and apply refuses it: addresses are not "
              "reserved yet, and pods would be given these; make IPPools that leave them out\n");
  }
  EXPECT_EQ(Ctl({"get", "blockaffinities.projectcalico.org"}), kExitUsage);
  EXPECT_THAT(err_, StartsWith("Error: BlockAffinity is known by name only"));
  EXPECT_EQ(Ctl({"get", "ipreservatons"}), kExitUsage);
  EXPECT_THAT(err_, HasSubstr("did you mean ipreservations"));
}

// As a user who may not read the store: one line that says what to do.
TEST_F(CommandLineTest, AReaderWhoIsNotRootIsToldSo) {
  if (getuid() != 0) GTEST_SKIP() << "needs root, to become another user";
  ASSERT_EQ(Ctl({"apply", "-f", "-"}, kSet), kExitOk);
  std::filesystem::permissions(folder_, std::filesystem::perms::owner_all);
  const pid_t child = fork();
  if (child == 0) {
    const bool other = setgid(65534) == 0 && setuid(65534) == 0;
    const int code = Ctl({"get", "networksets", "-A"});
    const bool one_line = std::count(err_.begin(), err_.end(), '\n') == 1;
    const bool says = err_.find("run as root") != std::string::npos;
    _exit(other && code == kExitUnreachable && one_line && says ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

}  // namespace
}  // namespace ripstop::ctl
