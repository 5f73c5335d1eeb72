// SPDX-License-Identifier: Apache-2.0
#include "api/ctl/arguments.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <map>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
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

bool HasFlag(const CLI::App& app, const std::string& flag) {
  const std::vector<const CLI::Option*> options = app.get_options();
  return std::any_of(options.begin(), options.end(), [&](const CLI::Option* option) {
    return option->nonpositional() && option->check_name(flag);
  });
}

// Those that a user may write, of the verbs given, innermost first.
std::vector<const CLI::Option*> OptionsOf(const std::vector<const CLI::App*>& given) {
  std::vector<const CLI::Option*> options;
  for (auto app = given.rbegin(); app != given.rend(); ++app) {
    for (const CLI::Option* option : (*app)->get_options()) {
      if (option != (*app)->get_help_ptr() && option->nonpositional()) options.push_back(option);
    }
  }
  if (const CLI::Option* help = given.back()->get_help_ptr()) options.push_back(help);
  return options;
}

// "-n, --namespace": of several long names the one that is meant.
std::string Shown(const CLI::Option& option, const std::string& long_name) {
  std::vector<std::string> names;
  if (!option.get_snames().empty()) names.push_back("-" + option.get_snames().front());
  if (!long_name.empty()) names.push_back("--" + long_name);
  return absl::StrJoin(names, ", ");
}
std::string Shown(const CLI::Option& option) {
  return Shown(option, option.get_lnames().empty() ? "" : option.get_lnames().front());
}

// Of a flag that nobody knows: what it begins, or is spelt like; else all that there are. Every
// letter is like every other.
std::string FlagsMeant(const std::string& flag, const std::vector<const CLI::Option*>& options) {
  std::map<std::string, const CLI::Option*> by_name;
  for (const CLI::Option* option : options) {
    for (const std::string& name : option->get_lnames()) by_name.emplace(name, option);
  }
  if (absl::StartsWith(flag, "--")) {
    const std::string word = flag.substr(2);
    auto meant = by_name.lower_bound(word);
    if (meant == by_name.end() || !absl::StartsWith(meant->first, word)) {
      std::vector<std::string> known;
      for (const auto& [name, option] : by_name) known.push_back(name);
      meant = by_name.find(api::Nearest(word, known));
    }
    if (meant != by_name.end()) {
      return absl::StrCat("; did you mean ", Shown(*meant->second, meant->first), "?");
    }
  }
  return absl::StrCat(
      "; known: ", absl::StrJoin(options, "; ", [](std::string* text, const CLI::Option* option) {
        absl::StrAppend(text, Shown(*option));
      }));
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
  size_t first = 0;
  while (first < arguments.size() && arguments[first] == "help") ++first;
  const bool help = first > 0;
  for (size_t i = first; i < arguments.size(); ++i) {
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
      if (word == "--") continue;
      if (word.size() > 1 && word[0] == '-') {
        const std::string flag = word.substr(0, word.find('='));
        if (HasFlag(*given.back(), flag)) {
          return absl::StrCat(flag, " belongs behind the command: `", NameOf(given), " ", flag,
                              " …`");
        }
        return absl::StrCat("`", NameOf(given), "` has no flag ", flag,
                            FlagsMeant(flag, OptionsOf(given)));
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

std::string MissingWord(const CLI::App& app) {
  const std::vector<const CLI::App*> given = Given(app);
  const CLI::App& last = *given.back();
  const std::string wants = absl::StrCat("`", NameOf(given), "` wants ");
  if (last.get_require_subcommand_min() > 0 && last.get_subcommands().empty()) {
    return absl::StrCat(wants, "a command: ", absl::StrJoin(Verbs(last), ", "));
  }
  for (const CLI::Option* option : last.get_options()) {
    if (!option->get_required() || option->count() > 0) continue;
    const std::string& what = option->get_description();
    if (!option->nonpositional()) return absl::StrCat(wants, what);
    return absl::StrCat(wants, Shown(*option), " ", option->get_type_name(),
                        what.empty() ? "" : ": ", what);
  }
  return "";
}

std::string HelpFor(const CLI::App& app) {
  const std::vector<const CLI::App*> given = Given(app);
  std::vector<std::string> words = {"ripstopctl", "help"};
  for (size_t i = 1; i < given.size(); ++i) words.push_back(given[i]->get_name());
  return absl::StrCat("Run ", absl::StrJoin(words, " "), " for what there is.");
}

}  // namespace ripstop::ctl
