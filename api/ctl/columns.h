// SPDX-License-Identifier: Apache-2.0
#ifndef RIPSTOP_API_CTL_COLUMNS_H_
#define RIPSTOP_API_CTL_COLUMNS_H_

#include <string>
#include <vector>

#include "api/kinds.h"
#include "nlohmann/json.hpp"

namespace ripstop::ctl {

// One column of `get`: where it is in the document, and what stands there when absent.
struct Column {
  std::string header;
  std::string pointer;  // JSON pointer (RFC 6901)
  std::string absent = "-";
  bool wide = false;         // only with -o wide
  std::string present = "";  // stands there instead of whatever the value is
};

// After NAMESPACE and NAME.
std::vector<Column> ColumnsOf(const api::KindInfo& kind);

// The value as a cell: lists joined by commas, labels as k=v, label selectors as kubectl
// writes them.
std::string Cell(const nlohmann::ordered_json& document, const Column& column);

}  // namespace ripstop::ctl

#endif  // RIPSTOP_API_CTL_COLUMNS_H_
