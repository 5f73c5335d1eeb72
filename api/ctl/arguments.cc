// SPDX-License-Identifier: Apache-2.0
#include "api/ctl/arguments.h"

#include <CLI/CLI.hpp>
#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "api/kinds.h"

namespace ripstop::ctl {
namespace {

std::vector<std::string> Verbs(const CLI::App& app) {
  std::vector<std::string> verbs;
  for (const CLI::App* verb : app.get_subcommands(std::function<bool(const CLI::App*)>()))
    verbs.push_back(verb->get_name());
  return verbs;
}

// The verbs that were given, outermost first: ripstopctl, node, status.
std::vector<const CLI::App*> Given(const CLI::App& app) {
  std::vector<const CLI::App*> given = {&app};
  for (;;) {
    const std::vector<CLI::App*> next = given.back()->get_subcommands();
    if (next.empty()) return given;
    given.push_back(next.front());
  }
}

// "--namespace" and "-n" of every option that may stand here.
std::vector<std::string> Flags(const std::vector<const CLI::App*>& given) {
  std::vector<std::string> flags;
  for (const CLI::App* app : given) {
    for (const CLI::Option* option : app->get_options()) {
      for (const std::string& name : option->get_lnames()) flags.push_back("--" + name);
      for (const std::string& name : option->get_snames()) flags.push_back("-" + name);
    }
  }
  return flags;
}

std::string DidYouMean(const std::string& word, const std::vector<std::string>& known) {
  const std::string nearest = api::Nearest(word, known);
  return nearest.empty() ? "" : absl::StrCat("; did you mean ", nearest, "?");
}

std::string NameOf(const std::vector<const CLI::App*>& given) {
  return absl::StrJoin(given, " ", [](std::string* text, const CLI::App* app) {
    absl::StrAppend(text, app->get_name());
  });
}

}  // namespace

std::vector<std::string> Normalized(const std::vector<std::string>& arguments) {
  std::vector<std::string> normalized;
  const bool help = !arguments.empty() && arguments[0] == "help";
  for (size_t i = help ? 1 : 0; i < arguments.size(); ++i) {
    const std::string& word = arguments[i];
    if (word == "--") {
      normalized.insert(normalized.end(), arguments.begin() + i, arguments.end());
      break;
    }
    if (word.size() > 2 && word[0] == '-' && absl::ascii_isalpha(word[1]) && word[2] == '=') {
      normalized.push_back(word.substr(0, 2));
      normalized.push_back(word.substr(3));
    } else {
      normalized.push_back(word);
    }
  }
  if (help) normalized.push_back("--help");
  return normalized;
}

std::string UnknownWord(const CLI::App& app) {
  const std::vector<const CLI::App*> given = Given(app);
  for (const CLI::App* one : given) {
    for (const std::string& word : one->remaining()) {
      if (word.size() > 1 && word[0] == '-') {
        const std::string flag = word.substr(0, word.find('='));
        return absl::StrCat("`", NameOf(given), "` has no flag ", flag,
                            DidYouMean(flag, Flags(given)));
      }
      const std::vector<std::string> verbs = Verbs(*given.back());
      if (verbs.empty()) return absl::StrCat("`", NameOf(given), "` takes no word \"", word, "\"");
      const std::string nearest = DidYouMean(word, verbs);
      return absl::StrCat(
          "`", NameOf(given), "` has no command \"", word, "\"",
          nearest.empty() ? absl::StrCat("; known: ", absl::StrJoin(verbs, ", ")) : nearest);
    }
  }
  return "";
}

}  // namespace ripstop::ctl
