// SPDX-License-Identifier: Apache-2.0
#include "api/ctl/documents.h"

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <system_error>

#include "absl/strings/str_cat.h"
#include "api/validate/validate.h"
#include "policy/status_macros.h"

namespace ripstop::ctl {
namespace {

namespace fs = std::filesystem;

bool IsDocument(const fs::path& path) {
  const std::string extension = path.extension().string();
  return extension == ".yaml" || extension == ".yml" || extension == ".json";
}

// 1 rather than kNotFound: a missing input is not a missing resource.
absl::Status CannotRead(const std::string& path, const std::string& why) {
  return absl::FailedPreconditionError(absl::StrCat("cannot read ", path, ": ", why));
}

absl::StatusOr<std::vector<std::string>> FilesOf(const std::string& source, bool recursive) {
  std::error_code error;
  if (source == "-" || !fs::is_directory(source, error)) return std::vector<std::string>{source};
  std::vector<std::string> files;
  const auto take = [&files](const fs::directory_entry& entry) {
    std::error_code ignored;
    if (entry.is_regular_file(ignored) && IsDocument(entry.path()))
      files.push_back(entry.path().string());
  };
  if (recursive) {
    for (fs::recursive_directory_iterator it(source, error), end; !error && it != end;
         it.increment(error))
      take(*it);
  } else {
    for (fs::directory_iterator it(source, error), end; !error && it != end; it.increment(error))
      take(*it);
  }
  if (error) return CannotRead(source, error.message());
  if (files.empty()) return CannotRead(source, "the folder has no *.yaml, *.yml or *.json file");
  std::sort(files.begin(), files.end());
  return files;
}

absl::StatusOr<std::string> Content(const std::string& file, std::istream& standard_input) {
  if (file == "-")
    return std::string(std::istreambuf_iterator<char>(standard_input),
                       std::istreambuf_iterator<char>());
  errno = 0;
  std::ifstream stream(file, std::ios::binary);
  if (!stream) return CannotRead(file, std::generic_category().message(errno));
  return std::string(std::istreambuf_iterator<char>(stream), std::istreambuf_iterator<char>());
}

void FindRepeated(api::Decoded& decoded) {
  std::map<api::ResourceKey, const api::Resource*> first;
  for (const api::Resource& resource : decoded.resources) {
    const auto [it, fresh] = first.try_emplace(resource.key(), &resource);
    if (fresh) continue;
    decoded.problems.push_back(
        {.file = resource.file,
         .line = resource.line,
         .resource = resource.key().ToString(),
         .what = absl::StrCat("is already defined at ", it->second->file, ":", it->second->line),
         .remedy = "keep one of the two"});
  }
}

}  // namespace

absl::StatusOr<api::Decoded> ReadDocuments(const std::vector<std::string>& sources,
                                           std::istream& standard_input,
                                           const DocumentOptions& options) {
  api::Decoded all;
  for (const std::string& source : sources) {
    ASSIGN_OR_RETURN(const std::vector<std::string> files, FilesOf(source, options.recursive));
    for (const std::string& file : files) {
      ASSIGN_OR_RETURN(const std::string text, Content(file, standard_input));
      api::Decoded part = api::DecodeText(text, file == "-" ? "<stdin>" : file,
                                          {.default_namespace = options.default_namespace});
      std::move(part.problems.begin(), part.problems.end(), std::back_inserter(all.problems));
      std::move(part.resources.begin(), part.resources.end(), std::back_inserter(all.resources));
    }
  }
  if (options.validate) {
    for (const api::Resource& resource : all.resources) {
      std::vector<api::Problem> problems = api::Validate(resource);
      std::move(problems.begin(), problems.end(), std::back_inserter(all.problems));
    }
    std::vector<api::Problem> together = api::ValidateTogether(all.resources);
    std::move(together.begin(), together.end(), std::back_inserter(all.problems));
  }
  if (options.refuse_repeated) FindRepeated(all);
  return all;
}

}  // namespace ripstop::ctl
