// SPDX-License-Identifier: Apache-2.0
//
// A folder of one test, gone with it.
#ifndef RIPSTOP_API_STORE_TESTING_FOLDER_H_
#define RIPSTOP_API_STORE_TESTING_FOLDER_H_

#include <stdlib.h>

#include <filesystem>
#include <string>

namespace ripstop::api {

class Folder {
 public:
  Folder() {
    char name[] = "/tmp/ripstop-store-XXXXXX";
    path_ = mkdtemp(name);
  }
  ~Folder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  std::string file(const std::string& name = "store.db") const { return path_ + "/" + name; }

 private:
  std::string path_;
};

}  // namespace ripstop::api

#endif  // RIPSTOP_API_STORE_TESTING_FOLDER_H_
