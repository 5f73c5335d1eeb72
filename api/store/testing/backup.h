// SPDX-License-Identifier: Apache-2.0
//
// A backup of a store's file, as an operator makes it: `sqlite3 FROM ".backup TO"`. By the library,
// for the program is not among what tests need.
#ifndef RIPSTOP_API_STORE_TESTING_BACKUP_H_
#define RIPSTOP_API_STORE_TESTING_BACKUP_H_

#include <sqlite3.h>

#include <string>

#include "gtest/gtest.h"

namespace ripstop::api {

inline void Backup(const std::string& from, const std::string& to) {
  sqlite3 *source = nullptr, *target = nullptr;
  ASSERT_EQ(sqlite3_open_v2(from.c_str(), &source, SQLITE_OPEN_READWRITE, nullptr), SQLITE_OK)
      << from << ": " << sqlite3_errmsg(source);
  ASSERT_EQ(sqlite3_open(to.c_str(), &target), SQLITE_OK) << to << ": " << sqlite3_errmsg(target);
  sqlite3_busy_timeout(target, 5000);
  sqlite3_backup* copy = sqlite3_backup_init(target, "main", source, "main");
  ASSERT_NE(copy, nullptr) << sqlite3_errmsg(target);
  EXPECT_EQ(sqlite3_backup_step(copy, -1), SQLITE_DONE);
  EXPECT_EQ(sqlite3_backup_finish(copy), SQLITE_OK) << sqlite3_errmsg(target);
  sqlite3_close(target);
  sqlite3_close(source);
}

}  // namespace ripstop::api

#endif  // RIPSTOP_API_STORE_TESTING_BACKUP_H_
