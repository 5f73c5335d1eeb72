// SPDX-License-Identifier: Apache-2.0
#ifndef RIPSTOP_API_CTL_TABLE_H_
#define RIPSTOP_API_CTL_TABLE_H_

#include <ostream>
#include <string>
#include <vector>

namespace ripstop::ctl {

// Columns aligned to their widest cell, three spaces apart, no trailing blanks: readable
// by people, and by awk. Widths count code points.
class Table {
 public:
  explicit Table(std::vector<std::string> header) : rows_{std::move(header)} {}
  void Add(std::vector<std::string> row) { rows_.push_back(std::move(row)); }
  bool empty() const { return rows_.size() == 1; }
  void Print(std::ostream& out) const;

 private:
  std::vector<std::vector<std::string>> rows_;
};

}  // namespace ripstop::ctl

#endif  // RIPSTOP_API_CTL_TABLE_H_
