// SPDX-License-Identifier: Apache-2.0
//
// The plugin binary as a runtime calls it, against a fake agent on a real socket.
#include "agent/cni/plugin.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <thread>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "agent/cni/cni_server.h"

namespace ripstop::agent {
namespace {

using Json = nlohmann::json;
using Environment = std::map<std::string, std::string>;
using ::testing::HasSubstr;

// What an agent would do with a call. Written before and read after one, never during.
class FakeAgent {
 public:
  v1::CniAnswer Handle(const v1::CniCall& call) {
    v1::CniAnswer reply = answer;
    switch (call.call_case()) {
      case v1::CniCall::kAdd: requests.push_back(call.add()); break;
      case v1::CniCall::kDel: requests.push_back(call.del()); break;
      case v1::CniCall::kCheck: requests.push_back(call.check()); break;
      case v1::CniCall::kGc: gc = call.gc(); break;
      default: break;
    }
    if (!call.has_add() || answer.code() != 0) return reply;
    v1::CniAddReply* add = reply.mutable_add();
    add->set_host_interface("cali0123456789a");
    add->set_host_mac("ee:ee:ee:ee:ee:ee");
    add->set_container_mac("02:00:5e:00:00:01");
    add->set_mtu(1450);
    for (const char* address : {"192.0.2.5/32", "2001:db8::5/128"}) {
      auto* ip = add->add_ips();
      ip->set_address(address);
      ip->set_gateway(address[1] == '9' ? "169.254.1.1" : "fe80::ecee:eeff:feee:eeee");
      ip->set_default_route(!second_interface);
    }
    return reply;
  }
  void Refuse(absl::StatusCode code, const std::string& message) {
    answer.set_code(static_cast<int>(code));
    answer.set_message(message);
  }
  std::vector<v1::CniRequest> requests;
  v1::CniGcRequest gc;
  v1::CniAnswer answer;
  bool second_interface = false;  // of a pod that has a default route
};

struct Ran {
  int code = -1;
  std::string out, error;
  Json json() const { return Json::parse(out, nullptr, false); }
};

class PluginTest : public ::testing::Test {
 protected:
  void SetUp() override {
    directory_ = std::filesystem::temp_directory_path() / absl::StrCat("ripstop-cni-", getpid());
    std::filesystem::create_directories(directory_);
    socket_ = directory_ / "cni.sock";
    loop_ = *EventLoop::Create();
    auto server = CniServer::Start({.path = socket_}, loop_.get(),
                                   [this](const v1::CniCall& call) { return agent_.Handle(call); });
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
    thread_ = std::thread([this] { EXPECT_TRUE(loop_->RunUntilStopped().ok()); });
  }
  void StopAgent() {
    loop_->Stop();
    if (thread_.joinable()) thread_.join();
    server_.reset();
  }
  void TearDown() override {
    StopAgent();
    std::error_code ignored;
    std::filesystem::remove_all(directory_, ignored);
  }

  Ran Run(const Environment& environment, const std::string& input) {
    const std::string in = directory_ / "in", out = directory_ / "out", error = directory_ / "err";
    std::ofstream(in) << input;
    std::vector<std::string> variables;
    for (const auto& [key, value] : environment) variables.push_back(key + "=" + value);
    std::vector<char*> envp;
    for (std::string& variable : variables) envp.push_back(variable.data());
    envp.push_back(nullptr);
    const pid_t child = fork();
    if (child == 0) {
      dup2(open(in.c_str(), O_RDONLY), 0);
      dup2(open(out.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600), 1);
      dup2(open(error.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600), 2);
      char* const argv[] = {const_cast<char*>(RIPSTOP_CNI_BINARY), nullptr};
      execve(RIPSTOP_CNI_BINARY, argv, envp.data());
      _exit(127);
    }
    int status = 0;
    waitpid(child, &status, 0);
    const auto read = [](const std::string& path) {
      std::stringstream text;
      text << std::ifstream(path).rdbuf();
      return text.str();
    };
    return {WIFEXITED(status) ? WEXITSTATUS(status) : -1, read(out), read(error)};
  }
  static Environment For(const std::string& command) {
    return {{"CNI_COMMAND", command},
            {"CNI_CONTAINERID", "c1"},
            {"CNI_NETNS", "/run/netns/none"},
            {"CNI_IFNAME", "eth0"},
            {"CNI_PATH", "/opt/cni/bin"}};
  }
  std::string Config(const std::string& version, Json more = Json::object()) {
    more["cniVersion"] = version;
    more["name"] = "ripstop";
    more["type"] = "ripstop-cni";
    more["socket"] = socket_;
    if (!more.contains("connectTimeoutMs")) more["connectTimeoutMs"] = 5000;
    return more.dump();
  }
  void ExpectError(const Ran& ran, int code, const std::string& text) {
    EXPECT_EQ(ran.code, 1);
    const Json json = ran.json();
    ASSERT_TRUE(json.is_object()) << ran.out;
    EXPECT_EQ(json["code"], code) << ran.out;
    EXPECT_THAT(json["msg"].get<std::string>(), HasSubstr(text));
    EXPECT_TRUE(json.contains("cniVersion"));
  }

  std::filesystem::path directory_;
  std::string socket_;
  FakeAgent agent_;
  std::unique_ptr<EventLoop> loop_;
  std::unique_ptr<CniServer> server_;
  std::thread thread_;
};

TEST_F(PluginTest, VersionListsWhatIsSupported) {
  const Ran ran =
      Run({{"CNI_COMMAND", "VERSION"}, {"CNI_NETNS", "dummy"}}, R"({"cniVersion":"1.0.0"})");
  EXPECT_EQ(ran.code, 0);
  EXPECT_EQ(ran.json()["cniVersion"], "1.0.0");
  EXPECT_EQ(ran.json()["supportedVersions"], Json({"0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"}));
}

TEST_F(PluginTest, ResultHasTheFormOfTheVersionAskedFor) {
  for (const std::string version : {"0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"}) {
    const Ran ran = Run(For("ADD"), Config(version));
    ASSERT_EQ(ran.code, 0) << version << ran.out;
    const Json result = ran.json();
    EXPECT_EQ(result["cniVersion"], version);
    EXPECT_EQ(result["interfaces"][1]["sandbox"], "/run/netns/none");
    EXPECT_EQ(result["interfaces"][1]["name"], "eth0");
    EXPECT_FALSE(result["interfaces"][0].contains("sandbox"));
    EXPECT_EQ(result["ips"][0]["address"], "192.0.2.5/32");
    EXPECT_EQ(result["ips"][1]["interface"], 1);
    EXPECT_EQ(result["ips"][1].value("version", ""), version[0] == '0' ? "6" : "");
    EXPECT_EQ(result["interfaces"][0].contains("mtu"), version == "1.1.0");
    EXPECT_EQ(result["routes"][0]["dst"], "0.0.0.0/0");
  }
}

TEST_F(PluginTest, KeysMatchWhateverTheirCase) {
  Json config = {{"CNIVersion", "1.0.0"},
                 {"NAME", "x"},
                 {"Socket", socket_},
                 {"MTU", 1300},
                 {"Labels", {{"app", "web"}}},
                 {"RuntimeConfig", {{"IPs", {"192.0.2.9/24"}}, {"Mac", "02:00:5e:00:00:09"}}},
                 {"Ports", {{{"Name", "http"}, {"Port", 8080}}}}};
  const Ran ran = Run(For("ADD"), config.dump());
  ASSERT_EQ(ran.code, 0) << ran.out;
  ASSERT_EQ(agent_.requests.size(), 1u);
  const v1::CniRequest& request = agent_.requests[0];
  EXPECT_EQ(request.mtu(), 1300u);
  EXPECT_EQ(request.labels().at("app"), "web");
  EXPECT_EQ(request.requested_ips(0), "192.0.2.9/24");
  EXPECT_EQ(request.requested_mac(), "02:00:5e:00:00:09");
  EXPECT_EQ(request.ports(0).port(), 8080u);
  EXPECT_EQ(request.network(), "x");
  EXPECT_EQ(request.pod_namespace(), "") << "what the runtime does not say, the agent decides";
  EXPECT_EQ(request.pod_name(), "");
}

TEST_F(PluginTest, AnInterfaceWithoutTheDefaultRouteDoesNotReportOne) {
  agent_.second_interface = true;
  const Ran ran = Run(For("ADD"), Config("1.0.0"));
  EXPECT_EQ(ran.json()["ips"].size(), 2u);
  EXPECT_EQ(ran.json()["routes"], Json::array());
}

TEST_F(PluginTest, RefusalsHaveTheCodesAndTextsOfTheSkeleton) {
  Environment bare = {{"CNI_COMMAND", "ADD"}};
  ExpectError(Run(bare, Config("1.0.0")), 4,
              "required env variables [CNI_CONTAINERID,CNI_NETNS,CNI_IFNAME,CNI_PATH] missing");
  ExpectError(Run(For("FLY"), Config("1.0.0")), 4, "unknown CNI_COMMAND: FLY");
  ExpectError(Run(For("ADD"), R"({"cniVersion":"1.0.0"})"), 7, "missing network name");
  ExpectError(Run(For("ADD"), "not json"), 6, "error unmarshall network config");
  ExpectError(Run(For("ADD"), "{\"name\": 5}"), 6, "name is not a string");
  ExpectError(Run(For("ADD"), Config("9.9.9")), 1, "incompatible CNI versions");
  ExpectError(Run(For("ADD"), R"({"name":"x"})"), 1, "incompatible CNI versions");
  ExpectError(Run(For("CHECK"), Config("0.3.1")), 1, "does not allow CHECK");
  ExpectError(Run(For("GC"), Config("1.0.0")), 1, "does not allow GC");
  const auto with = [](const char* key, const char* value) {
    Environment environment = For("ADD");
    environment[key] = value;
    return environment;
  };
  ExpectError(Run(with("CNI_IFNAME", "a/b"), Config("1.0.0")), 4, "interface name contains /");
  ExpectError(Run(with("CNI_IFNAME", "sixteencharacter"), Config("1.0.0")), 4, "too long");
  ExpectError(Run(with("CNI_IFNAME", ".."), Config("1.0.0")), 4, ". or ..");
  ExpectError(Run(with("CNI_CONTAINERID", "-x"), Config("1.0.0")), 4, "containerID");
  ExpectError(Run(with("CNI_NETNS", "/proc/self/ns/net"), Config("1.0.0")), 8,
              "should not be the same");
  EXPECT_TRUE(agent_.requests.empty());
  const Ran about = Run({}, "");
  EXPECT_EQ(about.code, 0);
  EXPECT_EQ(about.out, "");
  EXPECT_THAT(about.error, HasSubstr("CNI protocol versions supported"));
}

TEST_F(PluginTest, TheAgentsRefusalsBecomeCodes) {
  using absl::StatusCode;
  const std::pair<StatusCode, int> cases[] = {{StatusCode::kUnavailable, 11},
                                              {StatusCode::kInvalidArgument, 7},
                                              {StatusCode::kNotFound, 8},
                                              {StatusCode::kResourceExhausted, 101},
                                              {StatusCode::kAlreadyExists, 102},
                                              {StatusCode::kInternal, 999},
                                              {StatusCode::kFailedPrecondition, 103},
                                              {StatusCode::kAborted, 11},
                                              {StatusCode::kDeadlineExceeded, 11}};
  for (const auto& [from, to] : cases) {
    agent_.Refuse(from, "pool four is full");
    const Ran ran = Run(For("ADD"), Config("1.1.0"));
    ExpectError(ran, to, "");
    EXPECT_THAT(ran.out, HasSubstr("pool four is full"));
  }
  agent_.Refuse(StatusCode::kNotFound, "unknown here");
  ExpectError(Run(For("CHECK"), Config("0.4.0")), 3, "unknown here");
  agent_.Refuse(StatusCode::kUnavailable, "the store has not been read yet");
  const Ran status = Run(For("STATUS"), Config("1.1.0"));
  ExpectError(status, 50, "not available");
  EXPECT_THAT(status.out, HasSubstr("the store has not been read yet"));
}

TEST_F(PluginTest, ASocketThatIsNotTheAgentsIsNamed) {
  StopAgent();
  const int listener = socket(AF_UNIX, SOCK_STREAM, 0);
  sockaddr_un address{.sun_family = AF_UNIX, .sun_path = {}};
  memcpy(address.sun_path, socket_.data(), socket_.size());
  ASSERT_EQ(bind(listener, reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0);
  ASSERT_EQ(listen(listener, 8), 0);
  std::thread other([listener] {
    for (const std::string& words : {std::string("\0\0\x06\x04\0\0\0\0\0", 9), std::string()}) {
      const int client = accept(listener, nullptr, nullptr);
      (void)send(client, words.data(), words.size(), MSG_NOSIGNAL);
      close(client);
    }
  });
  ExpectError(Run(For("ADD"), Config("1.0.0")), 7, socket_);  // speaks HTTP/2, say
  ExpectError(Run(For("ADD"), Config("1.0.0")), 11, "no answer");
  other.join();
  close(listener);
}

TEST_F(PluginTest, WithoutItsAgentDelSucceedsOnlyWhereNothingIsLeftToDo) {
  StopAgent();
  const Json soon = {{"connectTimeoutMs", 100}};
  ExpectError(Run(For("ADD"), Config("1.0.0", soon)), 11, "try again");
  ExpectError(Run(For("STATUS"), Config("1.1.0", soon)), 50, "not available");
  EXPECT_EQ(Run(For("DEL"), Config("1.0.0", soon)).code, 0) << "namespace is gone";
  Environment alive = For("DEL");
  alive["CNI_NETNS"] = directory_;  // anything that exists
  ExpectError(Run(alive, Config("1.0.0", soon)), 11, "try again");
  Environment without = For("DEL");
  without.erase("CNI_NETNS");
  EXPECT_EQ(Run(without, Config("1.0.0", soon)).code, 0);
}

TEST_F(PluginTest, GcPassesTheValidAttachmentsAndWithoutAListRemovesNothing) {
  const Json more = {{"cni.dev/valid-attachments", {{{"containerID", "c1"}, {"ifname", "eth0"}}}}};
  EXPECT_EQ(Run(For("GC"), Config("1.1.0", more)).code, 0);
  ASSERT_EQ(agent_.gc.valid_size(), 1);
  EXPECT_EQ(agent_.gc.valid(0).container_id(), "c1");
  agent_.gc.Clear();
  agent_.gc.add_valid();  // would be overwritten by a call
  EXPECT_EQ(Run(For("GC"), Config("1.1.0")).code, 0);
  EXPECT_EQ(agent_.gc.valid_size(), 1);
  // libcni writes an empty list as null.
  for (const Json& none : {Json(nullptr), Json::array()}) {
    agent_.gc.Clear();
    agent_.gc.add_valid();
    EXPECT_EQ(Run(For("GC"), Config("1.1.0", {{"cni.dev/valid-attachments", none}})).code, 0);
    EXPECT_EQ(agent_.gc.valid_size(), 0) << none;
    EXPECT_EQ(agent_.gc.network(), "ripstop");
  }
  ExpectError(Run(For("GC"), Config("1.1.0", {{"cni.dev/valid-attachments", "all"}})), 6, "list");
  EXPECT_EQ(Run(For("STATUS"), Config("1.1.0")).code, 0);
}

// Calls of real runtimes, as recorded: "== TIME CNI_COMMAND=X rc=0", CNI_ variables,
// "stdin: {…}", "stdout: …".
struct Recorded {
  Environment environment;
  std::string input;
};

std::vector<Recorded> ReadCapture(const std::filesystem::path& path) {
  std::vector<Recorded> calls;
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    if (absl::StartsWith(line, "== ")) calls.emplace_back();
    if (calls.empty()) continue;
    if (absl::StartsWith(line, "CNI_")) {
      const size_t equals = line.find('=');
      calls.back().environment[line.substr(0, equals)] = line.substr(equals + 1);
    }
    if (absl::StartsWith(line, "stdin: ")) calls.back().input = line.substr(7);
  }
  return calls;
}

TEST_F(PluginTest, CallsRecordedFromRealRuntimesSucceed) {
  std::filesystem::path folder =
      std::filesystem::path(RIPSTOP_SOURCE_DIR) / "../shared/testdata/cni";
  if (!std::filesystem::exists(folder)) GTEST_SKIP() << "no captures at " << folder;
  int calls = 0, annotated = 0, requested = 0;
  for (const auto& file : std::filesystem::directory_iterator(folder)) {
    if (file.path().extension() != ".txt") continue;
    for (const Recorded& call : ReadCapture(file.path())) {
      SCOPED_TRACE(
          absl::StrCat(file.path().filename().string(), " ", call.environment.at("CNI_COMMAND")));
      Json config = Json::parse(call.input, nullptr, false);
      ASSERT_TRUE(config.is_object()) << call.input;
      config["socket"] = socket_;
      agent_.requests.clear();
      const Ran ran = Run(call.environment, config.dump());
      ++calls;
      EXPECT_EQ(ran.code, 0) << ran.out;
      const std::string command = call.environment.at("CNI_COMMAND");
      if (command == "VERSION") continue;
      ASSERT_EQ(agent_.requests.size(), 1u);
      const v1::CniRequest& request = agent_.requests[0];
      const auto args = ParseCniArgs(call.environment.at("CNI_ARGS"));
      EXPECT_EQ(request.pod_name(), args.at("K8S_POD_NAME"));
      EXPECT_EQ(request.pod_uid(), args.contains("K8S_POD_UID") ? args.at("K8S_POD_UID") : "");
      EXPECT_EQ(request.netns(), call.environment.at("CNI_NETNS"));
      annotated += request.annotations().empty() ? 0 : 1;
      requested += request.requested_ips().empty() ? 0 : 1;
      if (command == "DEL") {
        EXPECT_EQ(ran.out, "");
      } else {
        EXPECT_EQ(ran.json()["cniVersion"], config["cniVersion"]);
      }
    }
  }
  EXPECT_GE(calls, 8);
  EXPECT_GE(annotated, 1) << "containerd passes annotations";
  EXPECT_GE(requested, 1) << "podman passes IP=";
}

}  // namespace
}  // namespace ripstop::agent
