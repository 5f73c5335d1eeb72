// SPDX-License-Identifier: Apache-2.0
//
// ripstopctl run inside a test, with a folder of its own and a store in it.
#ifndef RIPSTOP_API_CTL_TESTING_H_
#define RIPSTOP_API_CTL_TESTING_H_

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "api/ctl/run.h"

namespace ripstop::ctl {

class CtlTest : public testing::Test {
 protected:
  CtlTest() {
    char name[] = "/tmp/ripstop-ctl-XXXXXX";
    folder_ = mkdtemp(name);
    store_ = "sqlite://" + folder_ + "/store.db";
  }
  ~CtlTest() override {
    std::error_code ignored;
    std::filesystem::remove_all(folder_, ignored);
  }
  // Exit code; output in out_ and err_.
  int Ctl(std::vector<std::string> arguments, const std::string& input = "") {
    arguments.insert(arguments.end(), {"--store", store_});
    std::istringstream in(input);
    std::ostringstream out, err;
    const int code = ctl::Run(arguments, {in, out, err});
    out_ = out.str();
    err_ = err.str();
    return code;
  }
  // Writes a file into the folder; its path.
  std::string File(const std::string& name, const std::string& text) {
    const std::string path = folder_ + "/" + name;
    std::filesystem::create_directories(std::filesystem::path(path).parent_path());
    std::ofstream(path) << text;
    return path;
  }
  std::string folder_, store_, out_, err_;
};

}  // namespace ripstop::ctl

#endif  // RIPSTOP_API_CTL_TESTING_H_
