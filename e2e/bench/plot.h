// SPDX-License-Identifier: Apache-2.0
//
// A line plot as SVG text, both axes logarithmic.
#ifndef RIPSTOP_E2E_BENCH_PLOT_H_
#define RIPSTOP_E2E_BENCH_PLOT_H_

#include <string>
#include <utility>
#include <vector>

namespace ripstop::bench {

struct Series {
  std::string name;
  std::vector<std::pair<double, double>> points;  // all above zero
  bool dashed = false;
};

std::string SvgPlot(const std::string& title, const std::string& x_label,
                    const std::string& y_label, const std::vector<Series>& series);

}  // namespace ripstop::bench

#endif  // RIPSTOP_E2E_BENCH_PLOT_H_
