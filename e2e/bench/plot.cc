// SPDX-License-Identifier: Apache-2.0
#include "e2e/bench/plot.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace ripstop::bench {
namespace {

constexpr double kWidth = 760, kHeight = 440, kLeft = 70, kRight = 220, kTop = 44, kBottom = 56;
// The first seven are told apart by readers who do not see red and green alike (Okabe and
// Ito); three more for plots of many lines.
constexpr const char* kColours[] = {"#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00",
                                    "#56B4E9", "#000000", "#8B4513", "#7F7F7F", "#6A3D9A"};

std::string Tick(double decade) {
  if (decade >= 1e6) return absl::StrCat(decade / 1e6, "M");
  if (decade >= 1e3) return absl::StrCat(decade / 1e3, "k");
  return absl::StrCat(decade);
}

}  // namespace

std::string SvgPlot(const std::string& title, const std::string& x_label,
                    const std::string& y_label, const std::vector<Series>& series) {
  double low_x = 1e18, high_x = 1, low_y = 1e18, high_y = 1;
  for (const Series& one : series) {
    for (const auto& [x, y] : one.points) {
      low_x = std::min(low_x, x), high_x = std::max(high_x, x);
      low_y = std::min(low_y, y), high_y = std::max(high_y, y);
    }
  }
  low_x = std::floor(std::log10(low_x)), low_y = std::floor(std::log10(low_y));
  high_x = std::max(low_x + 1, std::ceil(std::log10(high_x)));
  high_y = std::max(low_y + 1, std::ceil(std::log10(high_y)));
  const auto at_x = [&](double x) {
    return kLeft + (std::log10(x) - low_x) / (high_x - low_x) * (kWidth - kLeft - kRight);
  };
  const auto at_y = [&](double y) {
    return kHeight - kBottom -
           (std::log10(y) - low_y) / (high_y - low_y) * (kHeight - kTop - kBottom);
  };
  std::string svg = absl::StrFormat(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %.0f %.0f\" "
      "font-family=\"sans-serif\" font-size=\"12\">\n<rect width=\"100%%\" height=\"100%%\" "
      "fill=\"white\"/>\n<text x=\"%.0f\" y=\"24\" font-size=\"15\">%s</text>\n",
      kWidth, kHeight, kLeft, title);
  for (double d = low_x; d <= high_x; ++d) {
    const double x = at_x(std::pow(10, d));
    absl::StrAppendFormat(&svg,
                          "<path d=\"M%.1f %.0fV%.0f\" stroke=\"#ddd\"/>"
                          "<text x=\"%.1f\" y=\"%.0f\" text-anchor=\"middle\">%s</text>\n",
                          x, kTop, kHeight - kBottom, x, kHeight - kBottom + 18,
                          Tick(std::pow(10, d)));
  }
  for (double d = low_y; d <= high_y; ++d) {
    const double y = at_y(std::pow(10, d));
    absl::StrAppendFormat(&svg,
                          "<path d=\"M%.0f %.1fH%.0f\" stroke=\"#ddd\"/>"
                          "<text x=\"%.0f\" y=\"%.1f\" text-anchor=\"end\">%s</text>\n",
                          kLeft, y, kWidth - kRight, kLeft - 6, y + 4, Tick(std::pow(10, d)));
  }
  absl::StrAppendFormat(&svg,
                        "<text x=\"%.0f\" y=\"%.0f\" text-anchor=\"middle\">%s</text>\n"
                        "<text transform=\"translate(18 %.0f) rotate(-90)\" "
                        "text-anchor=\"middle\">%s</text>\n",
                        (kLeft + kWidth - kRight) / 2, kHeight - 14, x_label,
                        (kTop + kHeight - kBottom) / 2, y_label);
  for (size_t i = 0; i < series.size(); ++i) {
    const char* colour = kColours[i % std::size(kColours)];
    const char* dash = series[i].dashed ? " stroke-dasharray=\"5 4\"" : "";
    std::string path;
    for (const auto& [x, y] : series[i].points) {
      absl::StrAppendFormat(&path, "%s%.1f %.1f", path.empty() ? "M" : "L", at_x(x), at_y(y));
      absl::StrAppendFormat(&svg, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"3\" fill=\"%s\"/>\n",
                            at_x(x), at_y(y), colour);
    }
    const double key = kTop + 10 + 20 * static_cast<double>(i);
    absl::StrAppendFormat(&svg,
                          "<path d=\"%s\" fill=\"none\" stroke=\"%s\" stroke-width=\"2\"%s/>\n"
                          "<path d=\"M%.0f %.0fh24\" stroke=\"%s\" stroke-width=\"2\"%s/>"
                          "<text x=\"%.0f\" y=\"%.0f\">%s</text>\n",
                          path, colour, dash, kWidth - kRight + 12, key, colour, dash,
                          kWidth - kRight + 42, key + 4, series[i].name);
  }
  return absl::StrCat(svg, "</svg>\n");
}

}  // namespace ripstop::bench
